"""Chunks: the tagged, checksummed pieces that follow the header of a `.scae` file.

A capital first letter of the tag says that no picture can be had without the chunk.
"""

import struct
import zlib
from collections.abc import Iterator

from slimcae.errors import BitstreamError

# tag and length of the payload; then comes a CRC32 over these two and the payload
_HEAD = struct.Struct("<4sI")
_CRC = struct.Struct("<I")


def pack_chunk(tag: bytes, payload: bytes) -> bytes:
    """The bytes of one chunk.

    Raises:
        BitstreamError: a payload of 4 GiB or more.
    """
    if len(payload) >= 2**32:
        raise BitstreamError(f"chunk {tag.decode()} of {len(payload)} bytes: must be under 4 GiB")
    head = _HEAD.pack(tag, len(payload))
    return head + _CRC.pack(zlib.crc32(payload, zlib.crc32(head))) + payload


def unpack_chunks(data: bytes, position: int) -> Iterator[tuple[bytes, bytes]]:
    """Tags and payloads of the chunks from `position` to the end of a file, verified.

    Raises:
        BitstreamError: a chunk that is truncated or damaged.
    """
    while position < len(data):
        start = position + _HEAD.size + _CRC.size
        if start > len(data):
            raise BitstreamError("the file is truncated (copy it again) or has bytes too many")
        head = data[position : position + _HEAD.size]
        tag, length = _HEAD.unpack(head)
        if not (tag.isascii() and tag.isalpha()):
            raise BitstreamError(
                f"a chunk's tag is {tag!r}, not four letters (file damaged? copy it again)"
            )
        position = start + length
        if position > len(data):
            raise BitstreamError(
                f"the file is truncated (copy it again): chunk {tag.decode()} should have "
                f"{length} bytes, {len(data) - start} are left"
            )
        payload = data[start:position]
        (checksum,) = _CRC.unpack_from(data, start - _CRC.size)
        if zlib.crc32(payload, zlib.crc32(head)) != checksum:
            raise BitstreamError(
                f"the checksum of chunk {tag.decode()} does not match (file damaged? copy it again)"
            )
        yield tag, payload


def is_mandatory(tag: bytes) -> bool:
    """Whether a reader that does not know this tag must refuse the file."""
    return tag[:1].isupper()
