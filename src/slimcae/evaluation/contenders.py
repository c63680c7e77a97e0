"""What is compared: our widths, and the codecs that Pillow has, each with its settings named.

A contender turns a picture into a file's bytes and back, in memory. These code its colour alone:
alpha and metadata take no part.
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
from slimcae.version import __version__

if TYPE_CHECKING:
    from slimcae.codec import Codec

Pixels = NDArray[np.uint8]

AVIF_SPEEDS = (6, 8, 9, 10)
"""6 is the default of libavif; from 9 on it is as fast as codecs for photos are."""
JPEG_XL_EFFORTS = (1, 3, 7)
"""7 is the default of libjxl."""
JPEG_XL_PLUGIN = "pillow_jxl"


class Contender(Protocol):
    """A codec with fixed settings, at several points of quality."""

    @property
    def name(self) -> str:
        """What tables and plots call it."""

    @property
    def settings(self) -> str:
        """Everything that was chosen, in words: the software, its version, options, threads."""

    @property
    def points(self) -> Sequence[float]:
        """The settings of quality, best first or last."""

    def label(self, point: float, /) -> str:
        """What a point is called, as in "width 96" or "quality 50"."""

    def encode(self, picture: Picture, point: float, /) -> bytes:
        """A whole file of a picture."""

    def decode(self, data: bytes, /) -> Pixels:
        """The pixels (H, W, 3) of a file."""


class OurWidths:
    """Our codec, a point per width."""

    def __init__(self, codec: "Codec", effort: str = "normal") -> None:
        self.codec = codec
        self.effort = effort
        self.name = "SlimCAE" if effort == "normal" else f"SlimCAE {effort}"
        self.points: tuple[float, ...] = codec.points[::-1]

    @property
    def settings(self) -> str:
        """Model, precision and threads."""
        return _our_settings(self.codec, self.effort)

    def label(self, point: float) -> str:
        """As in "width 96"."""
        return self.codec.model.label(int(point))

    def encode(self, picture: Picture, point: float) -> bytes:
        """At an operating point."""
        return self.codec.compress(Picture(picture.pixels), point=int(point), effort=self.effort)

    def decode(self, data: bytes) -> Pixels:
        """By the file alone."""
        return as_rgb(self.codec.decompress(data))


class OurQualities(OurWidths):
    """Our codec by `-q`, which moves between the widths by the quantisation step."""

    def __init__(self, codec: "Codec", qualities: Sequence[float]) -> None:
        super().__init__(codec)
        self.name = "SlimCAE -q"
        self.points = tuple(sorted(qualities))

    def label(self, point: float) -> str:
        """As in "-q 40"."""
        return f"-q {point:g}"

    def encode(self, picture: Picture, point: float) -> bytes:
        """At a quality from 0 to 100."""
        return self.codec.compress(Picture(picture.pixels), quality=point)


@dataclass(frozen=True)
class PillowCodec:
    """A format that Pillow writes.

    Attributes:
        name: For tables and plots.
        format: Pillow's name of it.
        settings: All choices in words.
        points: Values that `options` knows, from low to high quality.
        options: Pillow's arguments of `save` at a point.
        unit: What the points are.
    """

    name: str
    format: str
    settings: str
    points: tuple[float, ...]
    options: Callable[[float], Mapping[str, Any]]
    unit: str = "quality"

    def label(self, point: float) -> str:
        """As in "quality 50"."""
        return f"{self.unit} {point:g}"

    def encode(self, picture: Picture, point: float) -> bytes:
        """A file made by `Image.save`."""
        file = io.BytesIO()
        Image.fromarray(picture.pixels).save(file, self.format, **self.options(point))
        return file.getvalue()

    def decode(self, data: bytes) -> Pixels:
        """What `Image.open` reads, as RGB."""
        with Image.open(io.BytesIO(data)) as image:
            return as_rgb(image)


def as_rgb(image: Image.Image) -> Pixels:
    """The colour pixels (H, W, 3) of an image."""
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def pillow_codecs(threads: int) -> tuple[list[PillowCodec], list[str]]:
    """The codecs that this installation has, and of each that it lacks a sentence about that.

    threads: of AVIF and JPEG XL, also when they decode (set for this process); the others have
        one.
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
                "mct": 1,  # without it Pillow codes red, green and blue apart, at twice the bits
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


def _our_settings(codec: "Codec", effort: str) -> str:
    transforms = codec.transforms
    kinds = dict.fromkeys(codec.model.kind(width, effort) for width in codec.points)
    return (
        f"slimcae {__version__}, model {codec.info.name}@{codec.info.version}, "
        f"entropy model {' and '.join(kinds)}, "
        f"{transforms.runtime}, {transforms.device}, {transforms.precision}, "
        f"threads: {transforms.threads}"
    )
