"""Reading pictures from files, streams and Pillow images."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import BinaryIO, TypeVar

from PIL import Image, UnidentifiedImageError

from slimcae.errors import ImageError, PictureTooLargeError
from slimcae.files import read_stream
from slimcae.images.colour_tags import Stated, stated_colours
from slimcae.images.colours import Colours
from slimcae.images.depth import is_deep
from slimcae.images.file_headers import low_bytes
from slimcae.images.final_colours import Settled, settle
from slimcae.images.grey_range import Curve
from slimcae.images.icc import Convert, is_whole, to_srgb
from slimcae.images.metadata import (
    exif_of,
    exif_orientation,
    upright_exif,
    upright_xmp,
    xmp_orientation,
)
from slimcae.images.picture import Picture
from slimcae.images.pillow_warnings import pillow_warnings, warn_instead
from slimcae.images.pixels import channels, is_grey, pillow_limit
from slimcae.images.plugins import open_image
from slimcae.images.rescue import BarePicture, without_metadata
from slimcae.images.sources import Opened, Source, as_opened
from slimcae.images.tiff import in_native_order, left_out_channels, unread_layout
from slimcae.images.transparent_colours import key_of

log = logging.getLogger("slimcae")

MAX_PIXELS = 2**28
"""Default limit on the pixels of a picture."""

Found = TypeVar("Found")

_OPAQUE = 255
_SEEN_AS_SRGB = ("CMYK", "LAB")
"""Modes whose colours become sRGB when they become RGB, whatever else the file says."""


def read_picture(source: Source, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture from a file, its bytes, a stream, a Pillow image, or an array of pixels.

    Images and arrays are not modified; see `as_opened` for arrays. `max_pixels` replaces Pillow's
    own limit, without changing it for other code.

    Raises:
        ImageError: The file is missing, truncated, or not a picture that Pillow can read.
        PictureTooLargeError: The picture has more than `max_pixels`.
    """
    source = as_opened(source)
    name = _name(source)
    with pillow_warnings(name):
        return _read_any(source, name, max_pixels)


def picture_pixels(path: Path) -> int:
    """Return the number of pixels of a picture file from its head.

    Raises:
        OSError: Pillow cannot read the file; damaged files may raise other errors.
    """
    with pillow_warnings(None):  # reading the picture will log them
        with pillow_limit(MAX_PIXELS):
            image = open_image(path, str(path))
        with image:
            return image.width * image.height


def _read_any(source: Opened, name: str, max_pixels: int) -> Picture:
    try:
        if isinstance(source, Image.Image):
            in_native_order(source)
            return _convert(source, name, max_pixels)
        source = _repeatable(source)
        try:
            return _read(source, name, max_pixels)
        except (ImageError, Image.DecompressionBombError):
            raise
        except Exception:  # perhaps only the metadata are unreadable
            bare = _opened_by(without_metadata, source)
            if bare is None:
                raise
        picture = _read(BytesIO(bare.data), name, max_pixels, bare)
        warn_instead("%s has metadata that cannot be read: left out", name)
        return picture
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"no picture at {name}: check the path") from error
    except Image.DecompressionBombError as error:
        raise PictureTooLargeError(
            f"{name} is larger than the limit of {max_pixels:,} pixels: make it smaller first"
        ) from error
    except UnidentifiedImageError as error:  # whose text contains the repr of a stream
        if _opened_by(lambda file: file.seek(0, SEEK_END) == 0, source):
            raise ImageError(f"{name} is empty: give a file that Pillow can read") from error
        layout = _opened_by(unread_layout, source)
        if layout is not None:
            raise ImageError(
                f"{name} is a TIFF file that Pillow cannot read ({layout}): convert it to PNG, or "
                "to grey or RGB of 8 unsigned bits"
            ) from error
        raise ImageError(
            f"{name} cannot be read as a picture (unknown format, or damaged): "
            "give a file that Pillow can read"
        ) from error
    except Exception as error:  # Pillow raises many kinds of errors for damaged files
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or repr(error)
        raise ImageError(
            f"{name} cannot be read as a picture ({reason}): give a file that Pillow can read"
        ) from error


def _read(
    source: str | Path | BinaryIO, name: str, max_pixels: int, bare: BarePicture | None = None
) -> Picture:
    with ExitStack() as stack:
        with pillow_limit(max_pixels):
            image = stack.enter_context(open_image(source, name))
            if bare is not None:
                said = {"exif": bare.exif, "icc_profile": bare.icc_profile}
                image.info |= {key: value for key, value in said.items() if value is not None}
            in_native_order(image)
            if image.format == "TIFF" and image.width * image.height <= max_pixels:
                image.load()  # the only format that checks Pillow's limit again when loading
        return _convert(image, name, max_pixels)


def _repeatable(source: str | Path | BinaryIO) -> str | Path | BinaryIO:
    """Return the content of a pipe, which can be read only once; other sources unchanged."""
    if isinstance(source, str | Path):
        if not Path(source).is_fifo():
            return source
        with Path(source).open("rb") as pipe:
            return read_stream(pipe)
    seekable = getattr(source, "seekable", None)
    return source if seekable is None or seekable() else read_stream(source)


def _opened_by(read: Callable[[BinaryIO], Found], source: Opened) -> Found | None:
    """Return what a function finds in a file, or None if the file cannot be read again."""
    if isinstance(source, Image.Image):
        return None
    try:
        if isinstance(source, str | Path):
            if not Path(source).is_file():  # a pipe can be read only once
                return None
            with Path(source).open("rb") as file:
                return read(file)
        return read(source)
    except (OSError, ValueError):  # a missing file, or a stream that is closed or not seekable
        return None


def _name(source: Opened) -> str:
    if isinstance(source, str | Path):
        return str(source)
    return str(getattr(source, "filename", "") or getattr(source, "name", "") or "the picture")


def _convert(image: Image.Image, name: str, max_pixels: int) -> Picture:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels ({width}x{height}): give a picture of at least 1x1")
    if width * height > max_pixels:
        raise PictureTooLargeError(
            f"{name} has {width}x{height} pixels, more than the limit of {max_pixels:,}: "
            "make it smaller first"
        )
    # further pictures of an MPO file (a camera's JPEG) are previews and the like
    if getattr(image, "is_animated", False) and image.format != "MPO":
        log.warning("%s has several frames: only the first one is used", name)
    if is_deep(image):
        log.warning("%s has more than 8 bits per channel: reduced to 8", name)
    left_out = left_out_channels(image)
    if left_out:
        log.warning("%s has channels beyond those of its colours (%d): left out", name, left_out)
    key, stated = key_of(image), stated_colours(image)
    curve = _deep_curve(stated.beside(_profile(image, stated)))
    low = low_bytes(image) if curve is not None else None
    image.load()
    exif, xmp = exif_of(image), _xmp_of(image)
    orientation = 1 if _is_upright(image) else _orientation(exif, xmp)
    profile = _profile(image, stated)
    if profile is None and _has_damaged_profile(image, stated):
        log.warning("%s has a damaged ICC profile: left out", name)
    convert = _from_cmyk(image, profile, name)
    pixels, alpha, grey = channels(image, name, orientation, key, convert, curve, low)
    if alpha is not None and alpha.min() == _OPAQUE:
        alpha = None
    if image.mode not in _SEEN_AS_SRGB:
        encoded = curve is not None and (low is not None or image.mode.startswith(("I", "F")))
        colours = settle(pixels, alpha, grey, profile, stated, exif, encoded, name)
    else:
        by_formula = image.mode == "CMYK" and convert is None
        colours = Settled(is_grey(pixels, alpha), srgb=not by_formula)
    return Picture(
        pixels,
        colours.grey,
        alpha,
        colours.icc_profile,
        colours.srgb,
        _undamaged(exif and upright_exif(exif), exif, "EXIF", name),
        _undamaged(xmp and upright_xmp(xmp), xmp, "XMP", name),
    )


def _deep_curve(colours: Colours | None) -> Curve | None:
    """Return the conversion of linear light and HDR to sRGB's curve, applied to 16 bits."""
    return None if colours is None or colours.table() is None else colours.encoded


def _xmp_of(image: Image.Image) -> bytes | None:
    xmp = image.info.get("xmp")
    return xmp if isinstance(xmp, bytes) and xmp else None


def _is_upright(image: Image.Image) -> bool:
    """Return whether an EXIF orientation must be ignored or has already been applied.

    An example is JPEG XL, whose codestream has its own orientation (ISO/IEC 18181-2), unless it is
    a recompressed JPEG file.
    """
    return image.format == "JXL" and not getattr(image, "jpeg", False)


def _orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """Return the orientation of EXIF, else that of XMP, like Pillow."""
    return (exif and exif_orientation(exif)) or (xmp and xmp_orientation(xmp)) or 1


def _undamaged(cleaned: bytes | None, found: bytes | None, kind: str, name: str) -> bytes | None:
    if found and not cleaned:
        warn_instead("%s has damaged %s data, which are left out", name, kind)
    return cleaned or None


def _profile(image: Image.Image, stated: Stated) -> bytes | None:
    """Return the ICC profile of an image, if it is complete."""
    profile = image.info.get("icc_profile") or stated.icc_profile
    return profile if is_whole(profile) else None


def _has_damaged_profile(image: Image.Image, stated: Stated) -> bool:
    """Return whether a file has a profile, even one that Pillow cannot read: then info has None."""
    found = image.info.get("icc_profile", stated.icc_profile)
    return found is not None or ("icc_profile" in image.info and image.format is not None)


def _from_cmyk(image: Image.Image, profile: bytes | None, name: str) -> Convert | None:
    """Return the conversion of CMYK to sRGB with its profile, if that is usable."""
    if image.mode != "CMYK":
        return None
    usable = profile is not None and profile[16:20] == b"CMYK"
    convert = to_srgb(profile, "CMYK") if profile is not None and usable else None
    if convert is None:
        log.warning("%s has CMYK colours without a usable profile: converted by a formula", name)
    return convert
