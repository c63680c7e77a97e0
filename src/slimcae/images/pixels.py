"""Pixels of Pillow images to 8-bit arrays and back, box by box.

Pillow's own conversions make whole copies on the way, of four bytes a pixel; here only the
picture itself exists beside the array, however large it is.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimcae.errors import ImageError

_BOX_PIXELS = 2**18
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, as in Pillow."""


def channels(
    image: Image.Image, name: str, orientation: int = 1
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, bool]:
    """Pixels (H, W, 3), alpha (H, W) or None, and whether the picture is grey.

    image: loaded, of any mode. Greys of more than 8 bits are reduced: 16 bits, or floats from 0
    to 1 or (if any is above 1) to 255. orientation: the value of EXIF's tag, of which the pixels
    are turned upright.

    Raises:
        ImageError: values that are not finite.
    """
    deep = image.mode.startswith(("I", "F"))
    grey = deep or image.mode in ("1", "L", "LA", "La")
    full = _full_scale(image, name) if deep else 0
    key = image.info.get("transparency")
    has_alpha = isinstance(key, int) if deep else image.has_transparency_data
    mode = ("L" if grey else "RGB") + ("A" if has_alpha else "")
    shape = image.size if orientation > 4 else image.size[::-1]
    pixels = np.empty((*shape, 3), np.uint8)
    alpha = np.empty(shape, np.uint8) if has_alpha else None
    stored_pixels = _as_stored(pixels, orientation)
    stored_alpha = None if alpha is None else _as_stored(alpha, orientation)
    for box in _boxes(image.size):
        part = _crop(image, box)
        place = slice(box[1], box[3]), slice(box[0], box[2])
        if deep:
            values = np.asarray(part)
            levels = _reduced(values, full)[:, :, None]
        else:
            levels = np.asarray(part if part.mode == mode else part.convert(mode))
            levels = levels.reshape(*levels.shape[:2], len(mode))
        stored_pixels[place] = levels[:, :, : 1 if grey else 3]  # one grey fills three channels
        if stored_alpha is not None:
            stored_alpha[place] = np.where(values == key, 0, 255) if deep else levels[:, :, -1]
    return pixels, alpha, grey


def image_of(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, grey: bool) -> Image.Image:
    """A Pillow image of mode L, LA, RGB or RGBA; of a grey picture the first channel counts."""
    if alpha is None and not grey and pixels.flags.c_contiguous:
        return Image.fromarray(pixels)  # which copies colours, and nothing else on the way
    height, width, _ = pixels.shape
    image = Image.new(("L" if grey else "RGB") + ("" if alpha is None else "A"), (width, height))
    for box in _boxes(image.size):
        place = slice(box[1], box[3]), slice(box[0], box[2])
        levels = pixels[place][:, :, : 1 if grey else 3]
        if alpha is not None:
            levels = np.concatenate([levels, alpha[place][:, :, None]], axis=2)
        elif grey:
            levels = levels[:, :, 0]
        image.paste(Image.fromarray(np.ascontiguousarray(levels)), box)
    return image


def greys(image: Image.Image) -> NDArray[np.uint8]:
    """The values (H, W) of an image of mode L."""
    values = np.empty(image.size[::-1], np.uint8)
    for box in _boxes(image.size):
        values[box[1] : box[3], box[0] : box[2]] = np.asarray(_crop(image, box))
    return values


def _boxes(size: tuple[int, int]) -> Iterator[Box]:
    """Boxes that cover an image, neither of them with many pixels."""
    width, height = size
    columns = min(width, _BOX_PIXELS // min(height, 512))
    rows = min(height, _BOX_PIXELS // columns)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield left, top, min(left + columns, width), min(top + rows, height)


def _crop(image: Image.Image, box: Box) -> Image.Image:
    """Without the public method's look at Pillow's limit, which is not ours."""
    return Image.Image._new(image, image.im.crop(box))


def _as_stored(seen: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A view of the upright picture in the order of its file (Exif 2.32, 4.6.4, Orientation)."""
    match orientation:
        case 2:
            return seen[:, ::-1]
        case 3:
            return seen[::-1, ::-1]
        case 4:
            return seen[::-1]
        case 5:
            return seen.swapaxes(0, 1)
        case 6:
            return np.rot90(seen)
        case 7:
            return seen[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return np.rot90(seen, -1)
    return seen


def _full_scale(image: Image.Image, name: str) -> int:
    """The value that means white.

    Mode I is what Pillow makes of 16-bit greys in some formats, so it counts as such.
    """
    if image.mode != "F":
        return 2**16 - 1
    full = 1
    for box in _boxes(image.size):
        values = np.asarray(_crop(image, box))
        if not np.isfinite(values).all():
            raise ImageError(f"{name} has values that are not finite")
        if values.max() > 1:
            full = 255
    return full


def _reduced(values: NDArray[Any], full: int) -> NDArray[np.uint8]:
    return np.rint(np.clip(values / full, 0, 1) * 255).astype(np.uint8)


class _HardLimit(int):
    """A number for Pillow's MAX_IMAGE_PIXELS that raises above itself.

    Pillow raises above `2 * MAX_IMAGE_PIXELS` only, and warns before; a warning would be a second
    line on stderr beside our error, and filters of warnings cannot be set for one thread.
    """

    def __rmul__(self, other: int) -> int:
        return int(self)


_PILLOW_LIMIT_LOCK = threading.Lock()


@contextmanager
def pillow_limit(max_pixels: int) -> Iterator[None]:
    """Lets Pillow open up to `max_pixels`; for the moment of opening, which decodes nothing.

    Pillow knows only a global limit. It is never lowered here, so that no other thread fails.
    """
    with _PILLOW_LIMIT_LOCK:
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None:
            Image.MAX_IMAGE_PIXELS = _HardLimit(max(max_pixels, 2 * limit))
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
