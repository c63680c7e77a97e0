"""Metadata of pictures: colour profile, EXIF and XMP, read from arbitrary bytes.

The orientation is applied to the pixels when a picture is read. So the orientation in kept EXIF and
XMP is set to 1, and all other bytes are kept.
"""

import re
import struct
from functools import cache, lru_cache
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image

METADATA = ("all", "icc", "none")
"""Choices of the metadata to keep; `icc`: only the profile."""

EXIF_PREFIX = b"Exif\0\0"
"""Prefix of EXIF data in JPEG files and in Pillow's `info`."""

_ORIENTATION = ExifTags.Base.Orientation
_INTEGERS = {3: "H", 4: "I", 8: "h", 9: "i"}
"""TIFF types that Pillow reads as integers, as struct characters; 3 is the correct one."""

_DESCRIPTIVE = (
    *(269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316),  # document to host computer
    *(18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095),  # ratings, copyright, Windows' own
    *(ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo),
)
"""Tags of a TIFF file that describe the picture, not its storage."""

_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
# as an attribute or an element, plain or as character references, and also in packets that are
# damaged after it; the bounds keep the time linear for hostile packets
_XMP_NUMBER = re.compile(
    rb"(:Orientation(?:\s{0,8}=\s{0,8}[\"']|(?:\s[^<>]{0,256})?>))"
    rb"\s{0,8}(?:[0-9]|&#x?[0-9a-fA-F]{1,4};){1,8}\s{0,8}"
)

MAX_SRGB_BYTES = 2**18
"""Largest profile that is compared with sRGB; known profiles of sRGB are below 64 kB."""

_DATE_AND_PLATFORM = {24: struct.pack(">6H", 2000, 1, 1, 0, 0, 0), 40: bytes(4)}
"""Fields in littlecms's profiles that differ between runs and machines (ICC.1:2022, 7.2)."""


def is_srgb(profile: bytes) -> bool:
    """Return whether a profile is equivalent to sRGB, independent of its name.

    A grid of colours and all greys are converted to sRGB (relative colorimetric), and no 8-bit
    level may change by more than 1. The result is False without littlecms or for invalid profiles.
    """
    if profile[16:20] != b"RGB " or len(profile) > MAX_SRGB_BYTES:
        return False
    return _acts_like_srgb(profile)


@lru_cache(maxsize=16)
def _acts_like_srgb(profile: bytes) -> bool:
    colours = _sample_colours()
    try:
        from PIL import ImageCms

        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
        seen = np.asarray(transform.apply(Image.fromarray(colours)))
    except Exception:  # a profile of any bytes, or no littlecms
        return False
    return bool((np.abs(seen.astype(np.int16) - colours) <= 1).all())


@cache
def _sample_colours() -> np.ndarray:
    """Return colours (1, n, 3), uint8: 9 levels of each channel, and every grey."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    return np.concatenate([grid, ramp])[None]


@cache
def srgb_profile() -> bytes | None:
    """Return Pillow's sRGB profile as reproducible bytes; None without littlecms."""
    try:
        from PIL import ImageCms

        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    except ImportError:
        return None
    content = bytearray(profile)
    for start, value in _DATE_AND_PLATFORM.items():
        content[start : start + len(value)] = value
    return bytes(content)


def exif_of(image: Image.Image) -> bytes | None:
    """Return the EXIF data of a loaded image as in its file; for TIFF, its descriptive tags."""
    found = image.info.get("exif")
    text = image.info.get("Raw profile type exif")  # written by ImageMagick in PNG
    try:
        if found is None and isinstance(text, str):
            found = bytes.fromhex("".join(text.split("\n")[3:]))
        elif found is None and hasattr(image, "tag_v2"):
            tags = descriptive(image.getexif())
            found = tags.tobytes() if tags else None
    except Exception:  # arbitrary directories
        return None
    return found if isinstance(found, bytes) and found else None


def descriptive(exif: Image.Exif) -> Image.Exif:
    """Return the tags of EXIF data that are independent of how a TIFF file stores the picture."""
    kept = Image.Exif()
    kept.endian = exif.endian or "<"
    for tag in _DESCRIPTIVE:
        if tag in exif:
            nested = tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
            kept[tag] = exif.get_ifd(tag) if nested else exif[tag]
    return kept


def exif_orientation(exif: bytes) -> int | None:
    """Return the orientation in EXIF data, 1 … 8, or None."""
    found = None
    tiff = _without_prefix(exif)
    order, entries, _ = _orientation_entries(tiff)
    for start in entries:
        kind, count = struct.unpack_from(order + "HI", tiff, start + 2)
        if kind in _INTEGERS and count == 1:
            (value,) = struct.unpack_from(order + _INTEGERS[kind], tiff, start + 8)
            found = value if 1 <= value <= 8 else found
    return found


def upright_exif(exif: bytes) -> bytes | None:
    """Return EXIF data with the usual prefix and any orientation set to 1; None if damaged.

    All other bytes are kept, including maker's notes and their offsets. Only the link to the
    thumbnail is removed if the picture was rotated, because the thumbnail is not.
    """
    turned = (exif_orientation(exif) or 1) != 1
    tiff = bytearray(_without_prefix(exif))
    order, entries, end = _orientation_entries(bytes(tiff))
    if not order:
        return None
    for start in entries:
        struct.pack_into(order + "HHIHH", tiff, start, _ORIENTATION, 3, 1, 1, 0)
    if turned and end + 4 <= len(tiff):
        tiff[end : end + 4] = bytes(4)
    return EXIF_PREFIX + tiff


def xmp_orientation(xmp: bytes) -> int | None:
    """Return the orientation in an XMP packet, as Pillow finds it, or None."""
    match = _XMP_ORIENTATION.search(xmp)
    return int(match[1]) if match else None


def upright_xmp(xmp: bytes) -> bytes | None:
    """Return an XMP packet with every orientation set to 1, or None if it is not UTF-8 text."""
    xmp = xmp.rstrip(b"\0")
    try:
        xmp.decode()
    except UnicodeDecodeError:
        return None
    if not xmp or b"\0" in xmp:
        return None
    return _XMP_NUMBER.sub(rb"\g<1>1", xmp)


def _without_prefix(exif: bytes) -> bytes:
    while exif.startswith(EXIF_PREFIX):  # some programs write it twice
        exif = exif[len(EXIF_PREFIX) :]
    return exif


def _orientation_entries(tiff: bytes) -> tuple[str, list[int], int]:
    """Return struct's byte order, the offsets of orientation entries, and the directory's end.

    The order is empty if there is no directory. An entry has tag (2 bytes), type (2), count (4) and
    value (4), see TIFF 6.0, section 2. Truncated directories are read as far as possible.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4], "")
    if not order or len(tiff) < 10:
        return "", [], 0
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if not 8 <= start <= len(tiff) - 2:
        return "", [], 0
    (count,) = struct.unpack_from(order + "H", tiff, start)
    end = start + 2 + 12 * count
    tag = struct.pack(order + "H", _ORIENTATION)
    whole = range(start + 2, min(end, len(tiff) - 11), 12)
    return order, [entry for entry in whole if tiff[entry : entry + 2] == tag], end
