"""Pictures: files and Pillow images to 8-bit arrays and back, and finding image files.

What a picture keeps: grey stays grey, alpha and an ICC profile that fits the colours are kept,
EXIF orientation is applied to the pixels (so that width and height are what people see). Palettes
and other colour models become RGB; more than 8 bits per channel are reduced and only the first
frame of an animation is taken, both with a notice.
"""

import glob
import logging
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from slimcae.errors import ImageError
from slimcae.files import atomic_path

log = logging.getLogger("slimcae")

MAX_PIXELS = 2**28
"""Larger pictures are refused unless a caller says otherwise."""

SUFFIXES = frozenset(
    f".{kind}"
    for kind in ("png jpg jpeg webp bmp tif tiff ppm pgm gif avif jp2").split()  # noqa: SIM905
)

Source = str | Path | BinaryIO | Image.Image


@dataclass(frozen=True)
class Picture:
    """An 8-bit picture.

    Attributes:
        pixels: (H, W, 3), uint8, RGB; three equal channels if the picture is grey.
        grey: Whether the picture has no colour.
        alpha: (H, W), uint8, or None if it is opaque.
        icc_profile: What the colours mean, or None for sRGB.
    """

    pixels: NDArray[np.uint8]
    grey: bool = False
    alpha: NDArray[np.uint8] | None = None
    icc_profile: bytes | None = None

    def to_image(self) -> Image.Image:
        """A Pillow image of mode L, LA, RGB or RGBA; the ICC profile is in its info."""
        image = Image.fromarray(self.pixels[:, :, 0] if self.grey else self.pixels)
        if self.alpha is not None:
            image.putalpha(Image.fromarray(self.alpha))
        if self.icc_profile is not None:
            image.info["icc_profile"] = self.icc_profile
        return image


def read_picture(source: Source, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture from a file, a stream, or a Pillow image (which stays as it is).

    Raises:
        ImageError: missing, not a picture that Pillow can read, truncated, or too large.
    """
    name = _name(source)
    if isinstance(source, Image.Image):
        return _convert(_checked(source, name, max_pixels), name)
    try:
        with warnings.catch_warnings():
            # our own limit is checked below, before any pixel is decoded
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                return _convert(_checked(image, name, max_pixels), name)
    except FileNotFoundError as error:
        raise ImageError(f"no picture at {name}: check the path") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} is too large for Pillow: {error}") from error
    except OSError as error:  # UnidentifiedImageError is one, too
        reason = error.strerror or str(error).partition(" <")[0]
        raise ImageError(f"{name} cannot be read as a picture ({reason})") from error
    except (SyntaxError, ValueError, EOFError, TypeError, IndexError, KeyError) as error:
        raise ImageError(f"{name} cannot be read as a picture (damaged: {error})") from error


def write_image(image: Image.Image, path: Path) -> None:
    """Write a picture in the format of the path's suffix, whole or not at all.

    Raises:
        ImageError: a suffix that Pillow cannot write, or a mode that the format does not have.
        OSError: the folder is missing or cannot be written.
    """
    suffix = path.suffix.lower()
    kind = Image.registered_extensions().get(suffix)
    if kind is None or kind not in Image.SAVE:
        raise ImageError(f"cannot write pictures called {suffix or path.name!r}: use .png, say")
    content = BytesIO()
    try:
        image.save(content, format=kind)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be written as {kind}: {error}") from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def find_images(path_or_glob: str) -> list[Path]:
    """The image files of a folder (searched recursively), of a glob pattern, or one file; sorted.

    Raises:
        ImageError: nothing found.
    """
    path = Path(path_or_glob)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
        if not found:
            kinds = " ".join(sorted(suffix[1:] for suffix in SUFFIXES))
            raise ImageError(f"no images in {path} (looked for {kinds}, in subfolders too)")
        return sorted(found)
    matches = [Path(name) for name in glob.glob(path_or_glob, recursive=True)]  # noqa: PTH207
    found = [match for match in matches if match.is_file()]
    if not found:
        raise ImageError(
            f"no images at {path_or_glob}: give a folder or a pattern like 'dir/*.png'"
        )
    return sorted(found)


def _name(source: Source) -> str:
    if isinstance(source, str | Path):
        return str(source)
    return getattr(source, "filename", "") or getattr(source, "name", "") or "the picture"


def _checked(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels ({width}x{height})")
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width}x{height} pixels, more than the limit of {max_pixels:,}"
        )
    return image


def _convert(image: Image.Image, name: str) -> Picture:
    if getattr(image, "is_animated", False):
        log.warning("%s is an animation: its first frame is taken", name)
        image.seek(0)
    profile = image.info.get("icc_profile")
    source_mode = image.mode
    image = ImageOps.exif_transpose(image)
    image = _eight_bits(image, name)
    has_alpha = image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info
    grey = image.mode in ("1", "L", "LA", "La")
    if grey:
        image = image.convert("LA" if has_alpha else "L")
    else:
        image = image.convert("RGBA" if has_alpha else "RGB")
    array = np.array(image)
    if array.ndim == 2:
        array = array[:, :, None]
    alpha = array[:, :, -1].copy() if has_alpha else None
    channels = array[:, :, :-1] if has_alpha else array
    pixels = np.repeat(channels, 3, axis=2) if grey else np.ascontiguousarray(channels)
    return Picture(pixels, grey, alpha, _fitting(profile, grey, source_mode))


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Scale what has more than 8 bits per channel down to 8."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError(f"{name} has values that are not finite")
    if image.mode != "F" and values.max() > 255:
        values = values / 257  # integers beyond a byte are 16-bit greys, whatever holds them
    log.warning("%s has more than 8 bits per channel: reduced to 8", name)
    return Image.fromarray(np.rint(np.clip(values, 0, 255)).astype(np.uint8))


def _fitting(profile: object, grey: bool, source_mode: str) -> bytes | None:
    """The ICC profile if it describes the pixels as they are now: grey or RGB."""
    if not isinstance(profile, bytes) or len(profile) < 128 or source_mode in ("CMYK", "LAB"):
        return None
    return profile if profile[16:20] == (b"GRAY" if grey else b"RGB ") else None
