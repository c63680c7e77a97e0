"""The alpha channel of a `.scae` file: lossless, as a single level or as a PNG file."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimcae.errors import BitstreamError
from slimcae.images.pixels import greys, pillow_limit

_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">II5B")
_DEFLATE_RATIO = 1032
"""Largest ratio of inflated to deflated bytes: deflate codes at most 258 bytes in 2 bits."""
_PIECE = 2**16


def constant_level(alpha: NDArray[np.uint8]) -> int | None:
    """Return the alpha of all pixels, or None if they differ."""
    first = int(alpha.flat[0])
    return first if (alpha == first).all() else None


def pack_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """Encode an alpha channel (H, W) as a PNG file of 8-bit greys."""
    content = BytesIO()
    Image.fromarray(alpha).save(content, format="PNG", optimize=True)
    return content.getvalue()


def unpack_alpha(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode the alpha channel (H, W) of a file whose picture has `size` (H, W).

    Nothing is allocated before the size in the PNG file was checked.

    Raises:
        BitstreamError: The data is damaged, or not a PNG file of 8-bit greys of that size.
    """
    if not data.startswith(_PNG):
        raise BitstreamError("the alpha channel is not a PNG file")
    chunks = list(_chunks(data))
    tags = [tag for tag, _ in chunks]
    if tags != [b"IHDR", *[b"IDAT"] * (len(tags) - 2), b"IEND"]:
        raise BitstreamError("the alpha channel is not a plain PNG file, or a damaged one")
    header, *streams, _ = (body for _, body in chunks)
    if header != _HEADER.pack(size[1], size[0], 8, 0, 0, 0, 0):
        raise BitstreamError(
            f"the alpha channel is not a picture of {size[1]}x{size[0]} 8-bit greys"
        )
    if not _fill(streams, size[0] * (size[1] + 1)):
        raise BitstreamError("the alpha channel has not as many samples as the picture")
    # merged into one chunk, because Pillow takes minutes for a million empty ones
    plain = (b"IHDR", header), (b"IDAT", b"".join(streams)), (b"IEND", b"")
    return _decode(_PNG + b"".join(_chunk(*part) for part in plain), size[0] * size[1])


def _fill(streams: list[memoryview], num_bytes: int) -> bool:
    """Return whether the parts of a zlib stream inflate to exactly `num_bytes`, without storing."""
    if num_bytes > _DEFLATE_RATIO * sum(map(len, streams)):
        return False
    inflater = zlib.decompressobj()
    try:
        for stream in streams:
            pending: bytes | memoryview = stream
            while pending and num_bytes >= 0 and not inflater.eof:
                num_bytes -= len(inflater.decompress(pending, _PIECE))
                pending = inflater.unconsumed_tail
    except zlib.error:
        return False
    return inflater.eof and num_bytes == 0


def _decode(png: bytes, num_pixels: int) -> NDArray[np.uint8]:
    try:
        with pillow_limit(num_pixels):
            image = Image.open(BytesIO(png), formats=["PNG"])
        with image:
            image.load()
            return greys(image)
    except Exception as error:  # Pillow raises many kinds of errors for damaged files
        raise BitstreamError(f"the alpha channel is damaged: {error}") from error


def _chunk(tag: bytes, body: bytes | memoryview) -> bytes:
    crc = zlib.crc32(body, zlib.crc32(tag))
    return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", crc)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield tags and contents of all chunks of a PNG file (ISO/IEC 15948, 5.3)."""
    position = len(_PNG)
    while position < len(data):
        if position + 12 > len(data):
            yield b"", memoryview(b"")  # not a chunk
            return
        length, tag = struct.unpack_from(">I4s", data, position)
        body = memoryview(data)[position + 8 : position + 8 + length]
        position += 12 + length
        if data[position - 4 : position] != struct.pack(">I", zlib.crc32(body, zlib.crc32(tag))):
            tag = b""  # damaged, or beyond the end
        yield tag, body
