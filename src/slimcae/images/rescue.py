"""Recovery of JPEG, PNG and AVIF files whose metadata Pillow cannot read.

The metadata are removed, except those that define colours.
"""

import re
import zlib
from dataclasses import dataclass
from typing import BinaryIO

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_JFIF, _APP1, _ADOBE, _LAST_APP, _COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_SCAN = 0xDA
_ICC, _ICC_MARK = 0xE2, b"ICC_PROFILE\0"
_MAX_ICC_BYTES = 2**24
_COLOUR_CHUNKS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}
"""PNG chunks that define colours, and their lengths in bytes."""
_AVIF_EXIF = re.compile(rb"(infe[\2\3].{7})Exif", re.DOTALL)
"""An entry for EXIF data in the item list of an AVIF file (ISO/IEC 14496-12, 8.11.6)."""


@dataclass(frozen=True)
class BarePicture:
    """A file reduced to the parts that its pixels need.

    exif: unchanged EXIF data of a JPEG or PNG file, which may contain an orientation.
    icc_profile: its profile, if complete.
    """

    data: bytes
    exif: bytes | None
    icc_profile: bytes | None = None


def without_metadata(file: BinaryIO) -> BarePicture | None:
    """Return a picture file without metadata, or None if it is neither JPEG, PNG nor AVIF."""
    file.seek(0)
    start = file.read(len(_PNG))
    if start.endswith(b"ftyp"):
        # renamed to an unknown item type; the rotation of pixels is stored elsewhere
        return BarePicture(_AVIF_EXIF.sub(rb"\1none", start + file.read(), count=1), None)
    if start.startswith(_JPEG):
        return _bare_jpeg(start + file.read())
    return _bare_png(start + file.read()) if start == _PNG else None


def _bare_jpeg(data: bytes) -> BarePicture:
    """Remove application segments and comments, except those that define the colour model.

    Source: ITU-T T.81, B.1.1; each segment is FF, marker, length (2 bytes, with these), content.
    """
    kept, exif, position = [data[:2]], None, 2
    profile: dict[int, bytes] = {}
    num_parts = 0
    while position + 4 <= len(data):
        marker = data[position + 1]
        if marker == 0xFF:  # padding before a marker
            position += 1
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        segment = data[position:end]
        if data[position] != 0xFF or marker == _SCAN:
            break
        if marker == _APP1 and segment[4:].startswith(b"Exif\0") and exif is None:
            exif = segment[4:]
        if marker == _ICC and segment[4:].startswith(_ICC_MARK) and len(segment) > 18:
            profile.setdefault(segment[16], segment[18:])  # ICC.1:2022, B.4
            num_parts = segment[17]
        spoken = marker == _COMMENT or (_JFIF < marker <= _LAST_APP and marker != _ADOBE)
        if not spoken:
            kept.append(segment)
        position = end
    whole = sorted(profile) == list(range(1, num_parts + 1))
    icc_profile = b"".join(profile[number] for number in sorted(profile)) if whole else None
    return BarePicture(b"".join([*kept, data[position:]]), exif, icc_profile or None)


def _bare_png(data: bytes) -> BarePicture:
    """Keep only critical chunks, transparency and colour (PNG, 5.6)."""
    kept, exif, icc_profile, position = [_PNG], None, None, len(_PNG)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        tag, chunk = data[position + 4 : position + 8], data[position:end]
        if tag == b"eXIf":
            exif = chunk[8:-4]
        if tag == b"iCCP" and icc_profile is None:
            icc_profile = _inflated(chunk[8:-4])
        if tag[:1].isupper() or tag == b"tRNS" or _is_whole(tag, chunk):
            kept.append(chunk)
        position = end
    return BarePicture(b"".join(kept), exif, icc_profile)


def _is_whole(tag: bytes, chunk: bytes) -> bool:
    """Return whether a chunk defines colours and is undamaged, so that Pillow accepts it."""
    checksum = int.from_bytes(chunk[-4:], "big")
    return len(chunk) - 12 == _COLOUR_CHUNKS.get(tag) and zlib.crc32(chunk[4:-4]) == checksum


def _inflated(content: bytes) -> bytes | None:
    """Return the profile in a chunk iCCP: name, 0, method 0, and a zlib stream (PNG, 11.3.2.3)."""
    _, _, packed = content.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(packed[1:], _MAX_ICC_BYTES)
    except zlib.error:
        return None
    return profile if inflater.eof and packed[:1] == b"\0" and profile else None
