"""The alpha channel of a `.scae` file: lossless, as a PNG file."""

import struct
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimcae.errors import BitstreamError
from slimcae.image_pixels import greys, pillow_limit

_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">II5B")
_DEFLATE_RATIO = 1032
"""Deflate codes at most 258 bytes in 2 bits."""


def pack_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """An alpha channel (H, W) as a PNG file of 8-bit greys."""
    content = BytesIO()
    Image.fromarray(alpha).save(content, format="PNG", optimize=True)
    return content.getvalue()


def unpack_alpha(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The alpha channel (H, W) of a file whose picture has `size` (H, W).

    Nothing is allocated before the file was seen to be of that size and long enough for it. Only
    the chunks that hold pixels are decoded.

    Raises:
        BitstreamError: not a PNG file of opaque 8-bit greys of that size, or a damaged one.
    """
    if not data.startswith(_PNG):
        raise BitstreamError("the alpha channel is not a PNG file")
    chunks = list(_chunks(data))
    if [tag for tag, _ in chunks[:1]] != [b"IHDR"] or len(chunks[0][1]) != _HEADER.size + 12:
        raise BitstreamError("the alpha channel is damaged: its PNG file has no header")
    width, height, *kind = _HEADER.unpack_from(chunks[0][1], 8)
    if (height, width) != size:
        raise BitstreamError(
            f"the alpha channel has {width}x{height} pixels, the picture {size[1]}x{size[0]}"
        )
    if kind[:2] != [8, 0] or {b"tRNS", b"acTL"} & {tag for tag, _ in chunks}:
        raise BitstreamError("the alpha channel is not one picture of opaque 8-bit greys")
    pixels = [chunk for tag, chunk in chunks if tag in (b"IHDR", b"IDAT", b"IEND")]
    if height * width > _DEFLATE_RATIO * sum(map(len, pixels)):
        raise BitstreamError(
            f"the alpha channel is damaged: {len(data):,} bytes cannot hold {width}x{height} greys"
        )
    return _decode(_PNG + b"".join(pixels), height * width)


def _decode(png: bytes, num_pixels: int) -> NDArray[np.uint8]:
    try:
        with pillow_limit(num_pixels):
            image = Image.open(BytesIO(png), formats=["PNG"])
        with image:
            image.load()
            return greys(image)
    except Exception as error:  # Pillow's decoder fails on damaged files in every possible way
        raise BitstreamError(f"the alpha channel is damaged: {error}") from error


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Tags and whole chunks of a PNG file (ISO/IEC 15948, 5.3), as far as they are complete."""
    position = len(_PNG)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        chunk = data[position : position + 12 + length]
        if len(chunk) < 12 + length:
            return
        yield chunk[4:8], chunk
        position += len(chunk)
        if chunk[4:8] == b"IEND":
            return
