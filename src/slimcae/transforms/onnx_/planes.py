"""Pixels in planes, as the graphs read and write them (see `block_side`)."""

from typing import Any

from numpy.typing import NDArray


def to_planes(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    """Return pixels (H, W, 3) as planes (1, 3 · side², H / side, W / side) of their blocks."""
    height, columns, colours = pixels.shape
    blocks = pixels.reshape(height // side, side, columns // side, side * colours)
    return blocks.transpose(1, 3, 0, 2).reshape(1, -1, height // side, columns // side)


def to_pixels(planes: NDArray[Any], side: int) -> NDArray[Any]:
    """Return the pixels (H, W, 3) of planes; inverse of `to_planes`."""
    _, values, height, columns = planes.shape
    blocks = planes.reshape(side, values // side, height, columns).transpose(2, 0, 3, 1)
    return blocks.reshape(height * side, columns * side, -1)
