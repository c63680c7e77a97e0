"""Small `.scae` files, and forged ones: built from docs/format.md with right checksums."""

import zlib
from collections.abc import Sequence

from slimcae.container import Contents, Header

HEADER = Header(
    image_height=20,
    image_width=33,
    grey=True,
    srgb=False,
    num_filters=96,
    step=7,
    entropy_model="context",
    tile_side=16,
    model_name="tiny",
    model_fingerprint=bytes.fromhex("f0f1f2f3f4f5f6f7"),
)
TILES = (b"tile", b"", b"tile number 2", b"3", b"\0\0\0\0", b"the last")
PROFILE = b"a profile, a profile, a profile"
EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
XMP = "<x:xmpmeta>größer</x:xmpmeta>".encode()
FULL = Contents(HEADER, TILES, b"alpha as PNG", PROFILE, EXIF, XMP)
PLAIN = Contents(HEADER, TILES)


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def chunk(tag: bytes, payload: bytes, length: int | None = None) -> bytes:
    """A chunk with a right checksum, whatever it says."""
    head = tag + number(len(payload) if length is None else length, 4)
    return head + number(zlib.crc32(head + payload), 4) + payload


def forged(
    *chunks: bytes,
    tiles: Sequence[bytes] = TILES,
    lengths: Sequence[int] | None = None,
    version: int = 4,
    flags: int = 1,
    filters: int = 96,
    height: int = 20,
    width: int = 33,
    kind: int = 2,
    exponent: int = 4,
    num_chunks: int | None = None,
    name: bytes = b"tiny",
    name_length: int | None = None,
) -> bytes:
    """A file that holds and says this, with right checksums; `PLAIN` without arguments."""
    if lengths is None:
        lengths = [len(tile) for tile in tiles]
    entries = [
        number(length, 4) + number(zlib.crc32(tile), 4)
        for length, tile in zip(lengths, tiles, strict=True)
    ]
    head = b"".join(
        [
            bytes.fromhex("89530d0a"),
            number(version, 1),
            number(flags, 1),
            number(filters, 2),
            number(height, 4),
            number(width, 4),
            number(HEADER.step, 1),
            number(kind, 1),
            number(exponent, 1),
            number(len(chunks) if num_chunks is None else num_chunks, 1),
            HEADER.model_fingerprint,
            number(len(name) if name_length is None else name_length, 1),
            name,
            *entries,
        ]
    )
    return b"".join([head, number(zlib.crc32(head), 4), *chunks, *tiles])


ALPHA_CHUNK = chunk(b"ALPH", b"alpha as PNG")
CHUNKS = (
    chunk(b"iccp", zlib.compress(PROFILE, 9)),
    chunk(b"exif", zlib.compress(EXIF.removeprefix(b"Exif\0\0"), 9)),
    chunk(b"xmpp", zlib.compress(XMP, 9)),
    ALPHA_CHUNK,
)
"""Those of `FULL`, in the order in which they are written."""
