"""The alpha channel of a `.scae` file: lossless, as a PNG file."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimcae.errors import BitstreamError


def pack_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """An alpha channel (H, W) as a PNG file of 8-bit greys."""
    content = BytesIO()
    Image.fromarray(alpha).save(content, format="PNG", optimize=True)
    return content.getvalue()


def unpack_alpha(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The alpha channel (H, W) of a file whose picture has `size` (H, W).

    Raises:
        BitstreamError: not a PNG file of 8-bit greys of that size.
    """
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            # checked before any pixel is decoded
            if image.mode != "L" or image.size != (size[1], size[0]):
                raise BitstreamError(
                    f"the alpha channel is {image.mode} {image.size[0]}x{image.size[1]}, "
                    f"not L {size[1]}x{size[0]}"
                )
            return np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BitstreamError(f"the alpha channel is damaged: {error}") from error
