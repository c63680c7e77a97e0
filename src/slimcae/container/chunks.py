"""Chunks: the tagged, checksummed pieces between the head of a `.scae` file and its tiles.

If the first letter of a tag is a capital, the picture cannot be decoded without the chunk.
"""

import logging
import struct
import zlib

from slimcae.container.header import FORMAT_VERSION
from slimcae.errors import BitstreamError
from slimcae.version import __version__

log = logging.getLogger("slimcae")

ALPHA = b"ALPH"
CONSTANT_ALPHA = b"OPAC"
ICC_PROFILE = b"iccp"
EXIF = b"exif"
XMP = b"xmpp"
MANDATORY = (ALPHA, CONSTANT_ALPHA)
KNOWN = frozenset({*MANDATORY, ICC_PROFILE, EXIF, XMP})
MAX_INFLATED_BYTES = 2**24
"""Limit on inflated metadata, far above real ones, so that forged ones cannot exhaust memory."""

_NAMES = {ICC_PROFILE: "ICC profile", EXIF: "EXIF data", XMP: "XMP data"}
# tag and length of the payload; then comes a CRC32 over these two and the payload
_HEAD = struct.Struct("<4sI")
_CRC = struct.Struct("<I")
FRAME_BYTES = _HEAD.size + _CRC.size
"""Bytes of a chunk around its payload."""


def pack_chunk(tag: bytes, payload: bytes) -> bytes:
    """Return the bytes of one chunk.

    Raises:
        BitstreamError: The payload has 4 GiB or more.
    """
    if len(payload) >= 2**32:
        raise BitstreamError(f"chunk {tag.decode()} of {len(payload)} bytes: must be under 4 GiB")
    head = _HEAD.pack(tag, len(payload))
    return head + _CRC.pack(zlib.crc32(payload, zlib.crc32(head))) + payload


def unpack_frame(frame: bytes) -> tuple[bytes, int]:
    """Return the tag and payload length from the first bytes of a chunk, without verification.

    Raises:
        BitstreamError: The tag is not four letters, or is mandatory but unknown.
    """
    tag, length = _HEAD.unpack_from(frame)
    if not (tag.isascii() and tag.isalpha()):
        raise BitstreamError(
            f"a chunk's tag is {tag!r}, not four letters (file damaged? copy it again)"
        )
    if tag[:1].isupper() and tag not in MANDATORY:
        known = b" and ".join(MANDATORY).decode()
        raise BitstreamError(
            f"the file needs chunk {tag.decode()} (format version {FORMAT_VERSION}); of its kind "
            f"slimcae {__version__} (format version {FORMAT_VERSION}) knows {known} only: "
            "install a newer one"
        )
    return tag, length


def check_payload(frame: bytes, payload: bytes) -> None:
    """Verify the checksum of a chunk.

    Raises:
        BitstreamError: The checksum does not match.
    """
    (checksum,) = _CRC.unpack_from(frame, _HEAD.size)
    if zlib.crc32(payload, zlib.crc32(frame[: _HEAD.size])) != checksum:
        raise BitstreamError(
            f"the checksum of chunk {frame[:4].decode()} does not match "
            "(file damaged? copy it again)"
        )


def deflate(tag: bytes, data: bytes | None) -> bytes | None:
    """Compress metadata; return None, with a notice, for more than 16 MiB."""
    if data and len(data) > MAX_INFLATED_BYTES:
        log.warning(
            "left out, beyond %d bytes: %s (%d)", MAX_INFLATED_BYTES, _NAMES[tag], len(data)
        )
        return None
    return zlib.compress(data, 9) if data else None


def inflate(tag: bytes, payload: bytes) -> bytes | None:
    """Decompress metadata; return None, with a notice, if damaged, so that the picture decodes."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(payload, MAX_INFLATED_BYTES + 1)
    except zlib.error:
        data = b""
    whole = inflater.eof and not inflater.unused_data
    if not (whole and 0 < len(data) <= MAX_INFLATED_BYTES):
        log.warning("left out, damaged: the file's %s", _NAMES[tag])
        return None
    return data
