"""The alpha channel of a `.scae` file: lossless, as a PNG file."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimcae.errors import BitstreamError, ImageError
from slimcae.images import read_picture

_PNG = b"\x89PNG\r\n\x1a\n"


def pack_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """An alpha channel (H, W) as a PNG file of 8-bit greys."""
    content = BytesIO()
    Image.fromarray(alpha).save(content, format="PNG", optimize=True)
    return content.getvalue()


def unpack_alpha(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The alpha channel (H, W) of a file whose picture has `size` (H, W).

    Raises:
        BitstreamError: not a PNG file of opaque greys of that size.
    """
    if not data.startswith(_PNG):
        raise BitstreamError("the alpha channel is not a PNG file")
    try:
        picture = read_picture(BytesIO(data), max_pixels=size[0] * size[1])
    except ImageError as error:
        raise BitstreamError(f"the alpha channel is damaged: {error}") from error
    if not picture.grey or picture.alpha is not None or picture.pixels.shape[:2] != size:
        raise BitstreamError(f"the alpha channel is not a grey image of {size[1]}x{size[0]}")
    return np.ascontiguousarray(picture.pixels[:, :, 0])
