"""A whole `.scae` file: a header and chunks, each with its length and checksum."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from slimcae.container.header import VERSION, Header, pack_header, unpack_header
from slimcae.errors import BitstreamError

LATENTS = "LATN"
"""The coded symbols; ends every file."""
ALPHA = "ALPH"
"""The alpha channel, as a PNG file of 8-bit greys."""
ICC_PROFILE = "iccp"
"""The ICC profile, compressed by zlib."""

_KNOWN = frozenset({LATENTS, ALPHA, ICC_PROFILE})
# tag, length of the payload, checksum of both and of the payload
_CHUNK = struct.Struct("<4sII")
_CHECKED_HEAD = struct.Struct("<4sI")


@dataclass(frozen=True)
class ScaeFile:
    """A header and the payload of each chunk, by tag.

    A tag is four ASCII letters; a capital first one says that no picture can be had without
    understanding the chunk.
    """

    header: Header
    chunks: Mapping[str, bytes]


def write(file: ScaeFile) -> bytes:
    """The bytes of a file.

    The latents come last whatever their place in `chunks`: so a truncated file always lacks
    some of them, and the beginning of a file tells everything but the pixels.

    Raises:
        BitstreamError: a tag that is not four ASCII letters, or a chunk of 4 GiB.
    """
    parts = [pack_header(file.header)]
    for tag in sorted(file.chunks, key=LATENTS.__eq__):
        payload = file.chunks[tag]
        if not (len(tag) == 4 and tag.isascii() and tag.isalpha()):
            raise BitstreamError(f"chunk tag {tag!r}: must be four ASCII letters")
        if len(payload) >= 2**32:
            raise BitstreamError(f"chunk {tag} of {len(payload)} bytes: must be under 4 GiB")
        name = tag.encode("ascii")
        parts += [_CHUNK.pack(name, len(payload), _checksum(name, payload)), payload]
    return b"".join(parts)


def read_header(data: bytes) -> Header:
    """The header of a file; its first `MAX_HEADER_BYTES` bytes are enough.

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
    header, position = unpack_header(data)
    chunks: dict[str, bytes] = {}
    for tag, payload in _chunks(data, position):
        if LATENTS in chunks:
            raise BitstreamError(f"chunk {tag} follows chunk {LATENTS}, which must end the file")
        if tag in chunks:
            raise BitstreamError(f"chunk {tag} appears twice")
        if tag not in _KNOWN and tag[0].isupper():
            raise BitstreamError(
                f"the file needs chunk {tag}, unknown to this slimcae (format version {VERSION}): "
                "install a newer one"
            )
        chunks[tag] = payload
    if LATENTS not in chunks:
        raise BitstreamError(f"the file is truncated: it has no {LATENTS} chunk, so no picture")
    if (ALPHA in chunks) != header.alpha:
        raise BitstreamError("the header and the chunks disagree on an alpha channel")
    return ScaeFile(header, {tag: payload for tag, payload in chunks.items() if tag in _KNOWN})


def _chunks(data: bytes, position: int) -> Iterator[tuple[str, bytes]]:
    """Tag and payload of each chunk from `position` to the end of the file, verified."""
    while position < len(data):
        if len(data) - position < _CHUNK.size:
            raise BitstreamError("the file is truncated: a chunk's header is incomplete")
        name, length, checksum = _CHUNK.unpack_from(data, position)
        if not (name.isascii() and name.isalpha()):
            raise BitstreamError(f"a chunk's tag is {name!r}, not four letters (file damaged?)")
        tag = name.decode("ascii")
        position += _CHUNK.size
        if len(data) - position < length:
            raise BitstreamError(
                f"the file is truncated: chunk {tag} should have {length} bytes, "
                f"{len(data) - position} are left"
            )
        payload = bytes(data[position : position + length])
        if _checksum(name, payload) != checksum:
            raise BitstreamError(f"the checksum of chunk {tag} does not match (file damaged?)")
        yield tag, payload
        position += length


def _checksum(name: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_CHECKED_HEAD.pack(name, len(payload))))
