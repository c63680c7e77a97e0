"""A whole `.scae` file: a header and chunks, each with its length and checksum."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from slimcae.container.header import Header, pack_header, unpack_header
from slimcae.errors import BitstreamError

LATENTS = "LATN"
"""The coded symbols."""
ALPHA = "ALPH"
"""The alpha channel, as a PNG file of 8-bit greys."""
ICC_PROFILE = "iccp"
"""The ICC profile, compressed by zlib."""

_KNOWN = frozenset({LATENTS, ALPHA, ICC_PROFILE})
_CHUNK = struct.Struct("<4sII")


@dataclass(frozen=True)
class ScaeFile:
    """A header and the payload of each chunk, by tag."""

    header: Header
    chunks: Mapping[str, bytes]


def write(file: ScaeFile) -> bytes:
    """The bytes of a file.

    Raises:
        BitstreamError: tags that are not four ASCII letters, or too many or too long chunks.
    """
    if len(file.chunks) > 255:
        raise BitstreamError(f"{len(file.chunks)} chunks: at most 255 fit")
    parts = [pack_header(file.header, len(file.chunks))]
    for tag, payload in file.chunks.items():
        if not (len(tag) == 4 and tag.isascii() and tag.isalpha()):
            raise BitstreamError(f"chunk tag {tag!r}: must be four ASCII letters")
        if len(payload) >= 2**32:
            raise BitstreamError(f"chunk {tag} of {len(payload)} bytes: must be under 4 GiB")
        name = tag.encode("ascii")
        parts += [_CHUNK.pack(name, len(payload), _checksum(name, payload)), payload]
    return b"".join(parts)


def read_header(data: bytes) -> Header:
    """The header of a file, of which `data` may be the beginning (71 bytes are enough).

    Raises:
        BitstreamError: not a `.scae` file, of an unknown version, truncated, or damaged.
    """
    return unpack_header(data)[0]


def read(data: bytes) -> ScaeFile:
    """Header and chunks of a whole file, all checksums verified.

    Unknown chunks that may be ignored (lower-case first letter) are left out.

    Raises:
        BitstreamError: anything that the format does not allow.
    """
    header, num_chunks, position = unpack_header(data)
    chunks: dict[str, bytes] = {}
    for _ in range(num_chunks):
        if len(data) - position < _CHUNK.size:
            raise BitstreamError("the file is truncated: a chunk's header is missing")
        name, length, checksum = _CHUNK.unpack_from(data, position)
        position += _CHUNK.size
        if not (name.isascii() and name.isalpha()):
            raise BitstreamError("a chunk's tag is not four letters (file damaged?)")
        tag = name.decode("ascii")
        if len(data) - position < length:
            raise BitstreamError(
                f"the file is truncated: chunk {tag} should have {length} bytes, "
                f"{len(data) - position} are left"
            )
        payload = bytes(data[position : position + length])
        position += length
        if tag in chunks:
            raise BitstreamError(f"chunk {tag} appears twice")
        mandatory = tag[0].isupper()
        if _checksum(name, payload) != checksum:
            raise BitstreamError(f"the checksum of chunk {tag} does not match (file damaged?)")
        if tag not in _KNOWN and mandatory:
            raise BitstreamError(
                f"unknown chunk {tag}, which this slimcae must understand to decode"
            )
        chunks[tag] = payload
    if position != len(data):
        raise BitstreamError(f"{len(data) - position} bytes follow the last chunk")
    if LATENTS not in chunks:
        raise BitstreamError(f"the file has no {LATENTS} chunk, so no picture")
    if (ALPHA in chunks) != header.alpha:
        raise BitstreamError("the header and the chunks disagree on an alpha channel")
    return ScaeFile(header, {tag: payload for tag, payload in chunks.items() if tag in _KNOWN})


def _checksum(name: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(name))
