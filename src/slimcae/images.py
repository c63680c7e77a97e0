"""Pictures: files and Pillow images to 8-bit arrays and back, and finding image files.

What a picture keeps: grey stays grey, alpha and an ICC profile that fits the colours are kept,
EXIF orientation is applied to the pixels (so that width and height are what people see). Palettes
and other colour models become RGB; more than 8 bits per channel are reduced and only the first
frame of an animation is taken, both with a notice.
"""

import glob
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from slimcae.errors import ImageError
from slimcae.files import write_bytes

log = logging.getLogger("slimcae")

MAX_PIXELS = 2**28
"""Larger pictures are refused unless a caller says otherwise."""

KINDS = ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "ppm", "pgm", "gif", "avif", "jp2")
"""Suffixes of the files that are taken for images in a folder."""

Source = str | Path | BinaryIO | Image.Image

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns the pixels upright for each value of EXIF's orientation tag."""

_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    # the picture has lost enough already
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95},
}


@dataclass(frozen=True)
class Picture:
    """An 8-bit picture.

    pixels: (H, W, 3), uint8, RGB; three equal channels if the picture is grey.
    grey: the picture has no colour.
    alpha: (H, W), uint8, or None if it is opaque.
    icc_profile: what the colours mean, or None for sRGB.
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

    `max_pixels` takes the place of Pillow's own limit, without setting that for anybody else.

    Raises:
        ImageError: missing, not a picture that Pillow can read, truncated, or too large.
    """
    name = _name(source)
    try:
        if isinstance(source, Image.Image):
            return _convert(source, name, max_pixels)
        with ExitStack() as stack:
            with _pillow_limit(max_pixels):
                image = stack.enter_context(Image.open(source))
                if image.format == "TIFF" and image.width * image.height <= max_pixels:
                    image.load()  # the one format that asks for Pillow's limit again to load
            return _convert(image, name, max_pixels)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"no picture at {name}: check the path") from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{name} is larger than the limit of {max_pixels:,} pixels: make it smaller first"
        ) from error
    except Exception as error:  # Pillow's decoders fail on damaged files in every possible way
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or repr(error)
        raise ImageError(
            f"{name} cannot be read as a picture ({reason}): give a file that Pillow knows"
        ) from error


def write_image(image: Image.Image, path: Path) -> None:
    """Write a picture in the format of the path's suffix, whole or not at all.

    Raises:
        ImageError: a suffix that Pillow cannot write, or a mode that the format does not have.
        OSError: the folder is missing or cannot be written.
    """
    suffix = path.suffix.lower()
    kind = Image.registered_extensions().get(suffix)
    if kind is None or kind.upper() not in Image.SAVE:
        raise ImageError(f"cannot write pictures called {suffix or path.name!r}: use .png, say")
    content = BytesIO()
    options = _SAVE_OPTIONS.get(kind, {})
    try:
        image.save(content, kind, icc_profile=image.info.get("icc_profile"), **options)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be written as {kind} ({error}): use .png") from error
    write_bytes(path, content.getvalue())


def find_images(path_or_glob: str) -> list[Path]:
    """The image files of a folder (searched recursively), of a glob pattern, or one file; sorted.

    Raises:
        ImageError: nothing found.
    """
    path = Path(path_or_glob)
    if path.is_file():
        return [path]
    if path.is_dir():
        suffixes = {f".{kind}" for kind in KINDS}
        found = [p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file()]
        if not found:
            raise ImageError(
                f"no images in {path}: looked in it and its folders for {' '.join(KINDS)}"
            )
        return sorted(found)
    matches = [Path(name) for name in glob.glob(path_or_glob, recursive=True)]  # noqa: PTH207
    found = [match for match in matches if match.is_file()]
    if not found:
        raise ImageError(
            f"no images at {path_or_glob!r}: give a file, a folder, or a pattern like 'dir/*.png'"
        )
    return sorted(found)


class _HardLimit(int):
    """A number for Pillow's MAX_IMAGE_PIXELS that raises above itself.

    Pillow raises above `2 * MAX_IMAGE_PIXELS` only, and warns before; a warning would be a second
    line on stderr beside our error, and filters of warnings cannot be set for one thread.
    """

    def __rmul__(self, other: int) -> int:
        return int(self)


_PILLOW_LIMIT_LOCK = threading.Lock()


@contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    """Lets Pillow open up to `max_pixels`; for the moment of opening, which decodes nothing.

    Pillow knows only a global limit. It is never lowered here, so that no other thread fails.
    """
    with _PILLOW_LIMIT_LOCK:
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None:
            Image.MAX_IMAGE_PIXELS = _HardLimit(max(max_pixels, 2 * limit))
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _name(source: Source) -> str:
    if isinstance(source, str | Path):
        return str(source)
    return str(getattr(source, "filename", "") or getattr(source, "name", "") or "the picture")


def _convert(image: Image.Image, name: str, max_pixels: int) -> Picture:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels ({width}x{height})")
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width}x{height} pixels, more than the limit of {max_pixels:,}: "
            "make it smaller first"
        )
    # further pictures of an MPO file (a camera's JPEG) are previews and the like
    if getattr(image, "is_animated", False) and image.format != "MPO":
        log.warning("%s has several frames: only the first one is taken", name)
    deep = any(";16" in str(tile) for tile in getattr(image, "tile", ()))
    image.load()
    profile = image.info.get("icc_profile")
    orientation = _orientation(image)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image.mode.startswith(("I", "F")):
        deep = True
        image = _eight_bits(image, name)
    if deep:
        log.warning("%s has more than 8 bits per channel: reduced to 8", name)
    grey = image.mode in ("1", "L", "LA", "La")
    has_alpha = image.has_transparency_data
    array = np.array(image.convert(("L" if grey else "RGB") + ("A" if has_alpha else "")))
    channels = array.reshape(*array.shape[:2], -1)
    alpha = channels[:, :, -1].copy() if has_alpha else None
    colours = channels[:, :, :1].repeat(3, axis=2) if grey else channels[:, :, :3]
    return Picture(np.ascontiguousarray(colours), grey, alpha, _fitting(profile, grey, name))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # EXIF data that cannot be read must not cost the picture
        return 1


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Greys of 16 bits, or floats from 0 to 1 or (if any is above 1) to 255, as mode L.

    Mode I is what Pillow makes of 16-bit greys in some formats, so it counts as such.
    """
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ImageError(f"{name} has values that are not finite")
    full = 2**16 - 1 if image.mode != "F" else 1 if values.max() <= 1 else 255
    levels = np.rint(np.clip(values / full, 0, 1) * 255).astype(np.uint8)
    reduced = Image.fromarray(levels)
    key = image.info.get("transparency")
    if isinstance(key, int):  # the grey that means transparent
        reduced.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return reduced


def _fitting(profile: object, grey: bool, name: str) -> bytes | None:
    """The ICC profile if it describes the pixels as they are now: grey or RGB."""
    if not isinstance(profile, bytes) or not profile:
        return None
    space, wanted = profile[16:20], b"GRAY" if grey else b"RGB "  # ICC.1:2022, 7.2.6
    if space != wanted:
        log.warning("%s has an ICC profile for other colours (%r), which is dropped", name, space)
        return None
    return profile
