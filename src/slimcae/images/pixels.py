"""Conversion between the pixels of Pillow images and 8-bit arrays, in small boxes.

Pillow's own conversions make whole intermediate copies with four bytes per pixel; this module only
needs the image and the array.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimcae.images.grey_range import Curve, Scale, is_signed, scale_of
from slimcae.images.icc import Convert
from slimcae.images.transparent_colours import Key, opacity

log = logging.getLogger("slimcae")

_BOX_PIXELS = 2**15
"""Few enough that a box stays in the processor's cache, and comes from memory used before."""
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, as in Pillow."""


def channels(
    image: Image.Image,
    name: str,
    orientation: int = 1,
    key: Key | None = None,
    convert: Convert | None = None,
    curve: Curve | None = None,
    low_image: Image.Image | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, bool]:
    """Return pixels (H, W, 3), alpha (H, W) or None, and whether the picture is grey.

    image: a loaded image of any mode. Greys of more than 8 bits are reduced (see `scale_of`).
    orientation: value of the EXIF tag, which is applied to the pixels. key: the transparent colour.
    convert: conversion of the image to RGB, instead of Pillow's. curve: applied to values from 0 to
    1 before the reduction to 8 bits, for deep greys, and for colours whose lower bytes are in
    `low_image`.

    Raises:
        ImageError: Values are not finite, or out of the range of their kind.
    """
    deep = image.mode.startswith(("I", "F"))
    grey = deep or image.mode in ("1", "L", "LA", "La")
    scale = _scale(image, name) if deep else None
    signed = image.mode == "L" and is_signed(image)
    by_pillow = key is None and convert is None and not deep and image.has_transparency_data
    has_alpha = by_pillow or key is not None
    mode = ("L" if grey else "RGB") + ("A" if by_pillow else "")
    shape = image.size if orientation > 4 else image.size[::-1]
    pixels = np.empty((*shape, 3), np.uint8)
    alpha = np.empty(shape, np.uint8) if has_alpha else None
    stored_pixels = _as_stored(pixels, orientation)
    stored_alpha = None if alpha is None else _as_stored(alpha, orientation)
    for box in _boxes(image.size):
        part = _crop(image, box)
        place = slice(box[1], box[3]), slice(box[0], box[2])
        if scale is not None:
            values = np.asarray(part)[:, :, None]
            levels = scale.levels(values, curve)
        else:
            if convert is not None:
                part = convert(part)
            elif part.mode != mode:
                part.info = (
                    {} if key is not None else part.info
                )  # `key` is more precise than Pillow's
                part = part.convert(mode)
            levels = np.asarray(part)
            values = levels = levels.reshape(*levels.shape[:2], len(mode))
        if curve is not None and low_image is not None:
            lower = np.asarray(_crop(low_image, box))[:, :, :3]
            colours = Scale().levels(256 * levels[:, :, :3].astype(np.uint16) + lower, curve)
            levels = np.concatenate([colours, levels[:, :, 3:]], axis=2)
        if signed:
            levels = levels ^ np.uint8(0x80)  # two's complement, where the smallest value is black
        stored_pixels[place] = levels[:, :, : 1 if grey else 3]  # one grey fills three channels
        if stored_alpha is not None and key is not None:
            low = None if key.low_image is None else np.asarray(_crop(key.low_image, box))
            stored_alpha[place] = opacity(key, values, low)
        elif stored_alpha is not None:
            stored_alpha[place] = levels[:, :, -1]
    return pixels, alpha, grey


def image_of(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, grey: bool) -> Image.Image:
    """Return a Pillow image of mode L, LA, RGB or RGBA; a grey picture uses the first channel."""
    if alpha is None and not grey and pixels.flags.c_contiguous:
        return Image.fromarray(pixels)  # makes a single copy of the colours
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
    """Return the values (H, W) of an image of mode L."""
    values = np.empty(image.size[::-1], np.uint8)
    for box in _boxes(image.size):
        values[box[1] : box[3], box[0] : box[2]] = np.asarray(_crop(image, box))
    return values


def _boxes(size: tuple[int, int]) -> Iterator[Box]:
    """Yield boxes that cover an image, each with a limited number of pixels."""
    width, height = size
    columns = min(width, _BOX_PIXELS // min(height, 512))
    rows = min(height, _BOX_PIXELS // columns)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield left, top, min(left + columns, width), min(top + rows, height)


def _crop(image: Image.Image, box: Box) -> Image.Image:
    """Crop an image without Pillow's limit, which the public method checks."""
    return Image.Image._new(image, image.im.crop(box))


def _as_stored(seen: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return a view of the upright picture in the file's order (Exif 2.32, 4.6.4, Orientation)."""
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


def _scale(image: Image.Image, name: str) -> Scale:
    parts = [partial(_values, image, box) for box in _boxes(image.size)]
    scale = scale_of(image, parts, name)
    if scale.notice is not None:
        log.warning("%s has %s", name, scale.notice)
    return scale


def _values(image: Image.Image, box: Box) -> NDArray[Any]:
    return np.asarray(_crop(image, box))


def is_grey(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> bool:
    """Return whether all visible pixels (H, W, 3) have three equal channels."""
    for place in _bands(pixels):
        part = pixels[place]
        colourful = (part[:, :, 0] != part[:, :, 1]) | (part[:, :, 1] != part[:, :, 2])
        if alpha is not None:
            colourful &= alpha[place] > 0
        if colourful.any():
            return False
    return True


def apply_table(pixels: NDArray[np.uint8], table: NDArray[np.uint8]) -> None:
    """Replace values by those of a table with 256 entries, in place."""
    for place in _bands(pixels):
        pixels[place] = table[pixels[place]]


def _bands(pixels: NDArray[np.uint8]) -> Iterator[slice]:
    rows = max(1, _BOX_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        yield slice(top, top + rows)


class _HardLimit(int):
    """A number for Pillow's MAX_IMAGE_PIXELS that makes Pillow raise above this number.

    Pillow raises only above `2 * MAX_IMAGE_PIXELS`, and warns before. A warning would be a second
    line on stderr, and warning filters cannot be set per thread.
    """

    def __rmul__(self, other: int) -> int:
        return int(self)


_PILLOW_LIMIT_LOCK = threading.Lock()


@contextmanager
def pillow_limit(max_pixels: int) -> Iterator[None]:
    """Let Pillow open up to `max_pixels`, for the duration of opening, which decodes nothing.

    Pillow's limit is global. It is never lowered here, so other threads do not fail.
    """
    with _PILLOW_LIMIT_LOCK:
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None:
            Image.MAX_IMAGE_PIXELS = _HardLimit(max(max_pixels, 2 * limit))
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
