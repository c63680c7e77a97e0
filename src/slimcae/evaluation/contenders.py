"""The codecs of a benchmark: our widths and the codecs of Pillow, with descriptions of settings.

A contender encodes and decodes pictures in memory. These contenders code only the colours, without
alpha and metadata.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, features

from slimcae.images import Picture
from slimcae.model.model import DEFAULT_EFFORT
from slimcae.version import __version__

if TYPE_CHECKING:
    from slimcae.codec import Codec

Pixels = NDArray[np.uint8]

AVIF_SPEEDS = (6, 8, 9, 10)
"""6 is the default of libavif; from 9 on it is as fast as other photo codecs."""
JPEG_XL_EFFORTS = (1, 3, 7)
"""7 is the default of libjxl."""
JPEG_XL_PLUGIN = "pillow_jxl"


class Contender(Protocol):
    """A codec with fixed settings and several quality points."""

    @property
    def name(self) -> str:
        """Name in tables and plots."""

    @property
    def settings(self) -> str:
        """Description of all settings: software, version, options and threads."""

    @property
    def points(self) -> Sequence[float]:
        """The quality settings, in increasing or decreasing order."""

    def label(self, point: float, /) -> str:
        """Return the name of a point, for example "width 96" or "quality 50"."""

    def encode(self, picture: Picture, point: float, /) -> bytes:
        """Encode a picture to a whole file."""

    def decode(self, data: bytes, /) -> Pixels:
        """Decode a file to pixels (H, W, 3)."""


class OurWidths:
    """Our codec, with one point per width."""

    def __init__(self, codec: "Codec", effort: int = DEFAULT_EFFORT) -> None:
        self.codec = codec
        self.effort = effort
        self.name = "SlimCAE" if effort == DEFAULT_EFFORT else f"SlimCAE effort {effort}"
        self.points: tuple[float, ...] = codec.points[::-1]

    @property
    def settings(self) -> str:
        """Model, precision and threads."""
        return _our_settings(self.codec, self.effort)

    def label(self, point: float) -> str:
        """Return for example "width 96"."""
        return self.codec.model.label(int(point))

    def encode(self, picture: Picture, point: float) -> bytes:
        """Encode a picture at an operating point."""
        return self.codec.compress(Picture(picture.pixels), point=int(point), effort=self.effort)

    def decode(self, data: bytes) -> Pixels:
        """Decode a file."""
        return as_rgb(self.codec.decompress(data))


class OurQualities(OurWidths):
    """Our codec with `-q`, which combines widths and quantisation steps."""

    def __init__(self, codec: "Codec", qualities: Sequence[float]) -> None:
        super().__init__(codec)
        self.name = "SlimCAE -q"
        self.points = tuple(sorted(qualities))

    def label(self, point: float) -> str:
        """As in "-q 40"."""
        return f"-q {point:g}"

    def encode(self, picture: Picture, point: float) -> bytes:
        """Encode a picture at a quality from 0 to 100."""
        return self.codec.compress(Picture(picture.pixels), quality=point)


@dataclass(frozen=True)
class PillowCodec:
    """A format that Pillow writes.

    Attributes:
        name: Name in tables and plots.
        format: Pillow's name of the format.
        settings: Description of all settings.
        points: Arguments of `options`, from low to high quality.
        options: Function from point to the arguments of Pillow's `save`.
        unit: Name of the quality setting.
    """

    name: str
    format: str
    settings: str
    points: tuple[float, ...]
    options: Callable[[float], Mapping[str, Any]]
    unit: str = "quality"

    def label(self, point: float) -> str:
        """Return for example "quality 50"."""
        return f"{self.unit} {point:g}"

    def encode(self, picture: Picture, point: float) -> bytes:
        """Encode a picture with `Image.save`."""
        file = io.BytesIO()
        Image.fromarray(picture.pixels).save(file, self.format, **self.options(point))
        return file.getvalue()

    def decode(self, data: bytes) -> Pixels:
        """Decode a file with `Image.open`, as RGB."""
        with Image.open(io.BytesIO(data)) as image:
            return as_rgb(image)


def as_rgb(image: Image.Image) -> Pixels:
    """Return the colour pixels (H, W, 3) of an image."""
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def pillow_codecs(threads: int) -> tuple[list[PillowCodec], list[str]]:
    """Return the installed codecs, and a sentence for each codec that is missing.

    threads: number of threads of AVIF and JPEG XL, for decoding too (set for this process); the
        others use one.
    """
    AvifImagePlugin.DEFAULT_MAX_THREADS = threads
    found: list[PillowCodec] = []
    missing = []
    for name, feature, make in (
        ("JPEG", "jpg", _jpeg),
        ("WebP", "webp", _webp),
        ("JPEG 2000", "jpg_2000", _jpeg2000),
        ("AVIF", "avif", _avif),
    ):
        if features.check(feature):
            found += make(threads)
        else:
            missing.append(f"{name} left out: this Pillow was built without it")
    if find_spec(JPEG_XL_PLUGIN):
        found += _jpeg_xl(threads)
    else:
        missing.append("JPEG XL left out: install the extra [bench], or pillow-jxl-plugin")
    return found, missing


def _jpeg(_threads: int) -> list[PillowCodec]:
    turbo = features.version_feature("libjpeg_turbo")
    library = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    return [
        PillowCodec(
            "JPEG",
            "JPEG",
            f"{library}, 4:2:0, optimised Huffman tables, baseline, 1 thread",
            (5, 10, 20, 35, 50, 65, 80, 90),
            lambda q: {"quality": int(q), "subsampling": "4:2:0", "optimize": True},
        )
    ]


def _webp(_threads: int) -> list[PillowCodec]:
    return [
        PillowCodec(
            "WebP",
            "WEBP",
            f"libwebp {features.version('webp')}, lossy, method 4, 1 thread",
            (0, 10, 25, 50, 75, 85, 92),
            lambda q: {"quality": int(q), "method": 4},
        )
    ]


def _jpeg2000(_threads: int) -> list[PillowCodec]:
    return [
        PillowCodec(
            "JPEG 2000",
            "JPEG2000",
            f"OpenJPEG {features.version('jpg_2000')}, one layer of a PSNR, irreversible 9/7 "
            "wavelet, colour transform, 1 thread",
            (26, 28, 30, 32, 34, 36),
            lambda db: {
                "quality_mode": "dB",
                "quality_layers": [db],
                "irreversible": True,
                "mct": 1,  # without it, Pillow codes the colours separately, with twice the bits
            },
            "PSNR",
        )
    ]


def _avif(threads: int) -> list[PillowCodec]:
    def at(speed: int) -> Callable[[float], Mapping[str, Any]]:
        return lambda q: {
            "quality": int(q),
            "speed": speed,
            "subsampling": "4:2:0",
            "max_threads": threads,
        }

    encoder = AvifImagePlugin.get_codec_version("aom")
    return [
        PillowCodec(
            f"AVIF speed {speed}",
            "AVIF",
            f"libavif {features.version('avif')}, AOM {encoder}, 4:2:0, speed {speed}, "
            f"threads: {threads}",
            (5, 15, 30, 45, 60, 75),
            at(speed),
        )
        for speed in AVIF_SPEEDS
    ]


def _jpeg_xl(threads: int) -> list[PillowCodec]:
    from importlib.metadata import version

    from pillow_jxl import JpegXLImagePlugin  # registers itself with Pillow

    JpegXLImagePlugin.DECODE_THREADS = threads

    def at(effort: int) -> Callable[[float], Mapping[str, Any]]:
        return lambda q: {"quality": int(q), "effort": effort, "num_threads": threads}

    return [
        PillowCodec(
            f"JPEG XL effort {effort}",
            "JXL",
            f"pillow-jxl-plugin {version('pillow-jxl-plugin')}, lossy, effort {effort}, "
            f"threads: {threads}",
            (5, 20, 40, 60, 75, 88),
            at(effort),
        )
        for effort in JPEG_XL_EFFORTS
    ]


def _our_settings(codec: "Codec", effort: int) -> str:
    transforms = codec.transforms
    kinds = dict.fromkeys(codec.model.kind(width, effort) for width in codec.points)
    return (
        f"slimcae {__version__}, model {codec.info.name}@{codec.info.version}, "
        f"entropy model {' and '.join(kinds)}, "
        f"{transforms.runtime}, {transforms.device}, {transforms.precision}, "
        f"threads: {transforms.threads}"
    )
