"""Pictures: files and Pillow images to 8-bit arrays and back, and finding image files.

What a picture keeps: grey stays grey, alpha, an ICC profile that fits the colours, EXIF and XMP
are kept. An orientation is applied to the pixels (so that width and height are what people see),
and those that are kept ask for no turn. Palettes and other colour models become RGB; more than
8 bits per channel are reduced and only the first frame of an animation is taken, both with a
notice.
"""

import glob
import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimcae.errors import ConfigError, ImageError
from slimcae.image_depth import is_deep
from slimcae.image_pixels import channels, image_of, pillow_limit
from slimcae.image_rescue import BarePicture, without_metadata
from slimcae.image_writing import write_image
from slimcae.metadata import (
    METADATA,
    exif_of,
    exif_orientation,
    is_srgb,
    srgb_profile,
    upright_exif,
    upright_xmp,
    xmp_orientation,
)

__all__ = ["KINDS", "MAX_PIXELS", "Picture", "find_images", "read_picture", "write_image"]

log = logging.getLogger("slimcae")

MAX_PIXELS = 2**28
"""Larger pictures are refused unless a caller says otherwise."""

KINDS = ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "ppm", "pgm", "gif", "avif", "jp2")
"""Suffixes of the files that are taken for images in a folder."""

Source = str | Path | BinaryIO | Image.Image


@dataclass(frozen=True)
class Picture:
    """An 8-bit picture and what its file says about it.

    pixels: (H, W, 3), uint8, RGB; three equal channels if the picture is grey.
    grey: the picture has no colour.
    alpha: (H, W), uint8, or None if it is opaque.
    icc_profile: what the colours mean, or None for sRGB.
    srgb: the file said so with a profile; then `icc_profile` is None.
    exif: EXIF data with the usual prefix, orientation 1 or none. xmp: an XMP packet in UTF-8.
    """

    pixels: NDArray[np.uint8]
    grey: bool = False
    alpha: NDArray[np.uint8] | None = None
    icc_profile: bytes | None = None
    srgb: bool = False
    exif: bytes | None = None
    xmp: bytes | None = None

    def keeping(self, metadata: str) -> "Picture":
        """The picture with `all` metadata, with its `icc` profile alone, or with `none`.

        Raises:
            ConfigError: another word.
        """
        if metadata not in METADATA:
            raise ConfigError(f"metadata {metadata!r}: choose {', '.join(METADATA)}")
        if metadata == "all":
            return self
        without = replace(self, exif=None, xmp=None)
        return without if metadata == "icc" else replace(without, icc_profile=None, srgb=False)

    def to_image(self) -> Image.Image:
        """A Pillow image of mode L, LA, RGB or RGBA, with profile, EXIF and XMP in its info.

        A grey picture cannot have the profile of sRGB, which is for colours; none says the same.
        """
        image = image_of(self.pixels, self.alpha, self.grey)
        found = {
            "icc_profile": srgb_profile() if self.srgb and not self.grey else self.icc_profile,
            "exif": self.exif,
            "xmp": self.xmp,
        }
        image.info |= {name: value for name, value in found.items() if value is not None}
        return image


def read_picture(source: Source, max_pixels: int = MAX_PIXELS, *, upright: bool = True) -> Picture:
    """Read a picture from a file, a stream, or a Pillow image (which stays as it is).

    `max_pixels` takes the place of Pillow's own limit, without setting that for anybody else.
    upright: False takes the pixels as they are, whatever orientation EXIF and XMP ask for (of a
    TIFF file Pillow itself turns them).

    Raises:
        ImageError: missing, not a picture that Pillow can read, truncated, or too large.
    """
    name = _name(source)
    try:
        if isinstance(source, Image.Image):
            return _convert(source, name, max_pixels, upright)
        try:
            return _read(source, name, max_pixels, upright)
        except (ImageError, Image.DecompressionBombError):
            raise
        except Exception:  # perhaps it was not the pixels that Pillow could not read
            bare = _bare(source)
            if bare is None:
                raise
        picture = _read(BytesIO(bare.data), name, max_pixels, upright, bare.exif)
        log.warning("%s has metadata that cannot be read: left out", name)
        return picture
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


def _read(
    source: str | Path | BinaryIO,
    name: str,
    max_pixels: int,
    upright: bool,
    exif: bytes | None = None,
) -> Picture:
    with ExitStack() as stack:
        with pillow_limit(max_pixels):
            image = stack.enter_context(Image.open(source))
            if exif is not None:
                image.info["exif"] = exif
            if image.format == "TIFF" and image.width * image.height <= max_pixels:
                image.load()  # the one format that asks for Pillow's limit again to load
        return _convert(image, name, max_pixels, upright)


def _bare(source: str | Path | BinaryIO) -> BarePicture | None:
    try:
        if isinstance(source, str | Path):
            with Path(source).open("rb") as file:
                return without_metadata(file)
        return without_metadata(source)
    except (OSError, ValueError):  # a missing file, a stream that cannot go back or was closed
        return None


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


def _name(source: Source) -> str:
    if isinstance(source, str | Path):
        return str(source)
    return str(getattr(source, "filename", "") or getattr(source, "name", "") or "the picture")


def _convert(image: Image.Image, name: str, max_pixels: int, upright: bool) -> Picture:
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
    if is_deep(image):
        log.warning("%s has more than 8 bits per channel: reduced to 8", name)
    image.load()
    exif, xmp = exif_of(image), _xmp_of(image)
    orientation = _orientation(exif, xmp) if upright else 1
    pixels, alpha, grey = channels(image, name, orientation)
    profile = image.info.get("icc_profile")
    srgb = isinstance(profile, bytes) and is_srgb(profile)
    return Picture(
        pixels,
        grey,
        alpha,
        None if srgb else _fitting_profile(profile, grey, name),
        srgb,
        _undamaged(exif and upright_exif(exif), exif, "EXIF", name),
        _undamaged(xmp and upright_xmp(xmp), xmp, "XMP", name),
    )


def _xmp_of(image: Image.Image) -> bytes | None:
    xmp = image.info.get("xmp")
    return xmp if isinstance(xmp, bytes) and xmp else None


def _orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """EXIF's, else XMP's; as Pillow does."""
    return (exif and exif_orientation(exif)) or (xmp and xmp_orientation(xmp)) or 1


def _undamaged(cleaned: bytes | None, found: bytes | None, kind: str, name: str) -> bytes | None:
    if found and not cleaned:
        log.warning("%s has damaged %s data, which are left out", name, kind)
    return cleaned or None


def _fitting_profile(profile: object, grey: bool, name: str) -> bytes | None:
    """The ICC profile if it describes the pixels as they are now: grey or RGB."""
    if not isinstance(profile, bytes) or not profile:
        return None
    space, wanted = profile[16:20], b"GRAY" if grey else b"RGB "  # ICC.1:2022, 7.2.6
    if space != wanted:
        log.warning("%s has an ICC profile for other colours (%r), which is dropped", name, space)
        return None
    return profile
