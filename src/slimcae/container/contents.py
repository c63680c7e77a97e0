"""Conversion of whole `.scae` files: header, streams and metadata to bytes, and back."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from slimcae.container.chunks import (
    ALPHA,
    CONSTANT_ALPHA,
    EXIF,
    ICC_PROFILE,
    XMP,
    deflate,
    pack_chunk,
)
from slimcae.container.header import Head, Header, check_tiles, head_bytes
from slimcae.container.reader import EXIF_PREFIX, Reader
from slimcae.errors import BitstreamError


@dataclass(frozen=True)
class Contents:
    """The contents of a `.scae` file.

    tiles: the coded symbols of each tile, in raster order.
    alpha: a PNG file of mode L with the size of the picture, or None.
    constant_alpha: the alpha of all pixels, 0 to 255, or None. Without both, the picture is opaque.
    icc_profile, exif, xmp: as in Pillow's `info` (not compressed), or None; empty ones become None.
        EXIF data may lack the prefix that `Reader.exif` adds.
    """

    header: Header
    tiles: Sequence[bytes]
    alpha: bytes | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    constant_alpha: int | None = None


def write(contents: Contents) -> bytes:
    """Return the bytes of a `.scae` file. Metadata beyond 16 MiB are dropped with a notice.

    The tiles come last, so the beginning of a file contains everything except pixels, and a
    truncated file always lacks tiles.

    Raises:
        BitstreamError: A stream or the alpha has 4 GiB or more, the number of streams is not the
            number of tiles, or there are too many tiles.
    """
    chunks = pack_chunks(
        alpha=contents.alpha,
        constant_alpha=contents.constant_alpha,
        icc_profile=contents.icc_profile,
        exif=contents.exif,
        xmp=contents.xmp,
    )
    return assemble(contents.header, contents.tiles, chunks)


def assemble(header: Header, tiles: Sequence[bytes], chunks: Sequence[bytes]) -> bytes:
    """Return the bytes of a file whose chunks `pack_chunks` has made.

    Raises:
        BitstreamError: A stream has 4 GiB or more, the number of streams is not the number of
            tiles, or there are too many tiles.
    """
    check_tiles(header)
    if len(tiles) != header.num_tiles:
        raise BitstreamError(f"{len(tiles)} streams for {header.num_tiles} tiles")
    if any(len(stream) >= 2**32 for stream in tiles):
        raise BitstreamError("the stream of a tile has 4 GiB or more: take smaller tiles")
    head = Head(header, list(map(len, tiles)), list(map(zlib.crc32, tiles)), len(chunks))
    return b"".join([bytes(head), *chunks, *tiles])


def read(data: bytes) -> Contents:
    """Read a `.scae` file and verify all checksums.

    Unknown optional chunks are skipped. Damaged metadata are left out with a notice.

    Raises:
        BitstreamError: See `Reader`.
    """
    reader = Reader(data)
    reader.verify()
    return Contents(
        reader.header,
        tuple(reader.tile(index) for index in range(reader.header.num_tiles)),
        reader.alpha,
        reader.icc_profile,
        reader.exif,
        reader.xmp,
        reader.constant_alpha,
    )


def pack_chunks(
    *,
    alpha: bytes | None = None,
    constant_alpha: int | None = None,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> list[bytes]:
    """Return the non-empty chunks of a file.

    Raises:
        BitstreamError: The alpha has 4 GiB or more, or is given both as a picture and as a level.
    """
    if alpha is not None and constant_alpha is not None:
        raise BitstreamError("alpha both as a picture and as one level: give one of them")
    payloads = {
        ICC_PROFILE: deflate(ICC_PROFILE, icc_profile),
        EXIF: deflate(EXIF, None if exif is None else exif.removeprefix(EXIF_PREFIX)),
        XMP: deflate(XMP, xmp),
        ALPHA: alpha,
        CONSTANT_ALPHA: None if constant_alpha is None else bytes([constant_alpha]),
    }
    return [pack_chunk(tag, load) for tag, load in payloads.items() if load is not None]


def overhead(header: Header, chunks: Sequence[bytes]) -> int:
    """Return the bytes of a file without its streams."""
    return head_bytes(header) + sum(map(len, chunks))
