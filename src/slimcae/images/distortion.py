"""Distortion between 8-bit pixels: squared error and PSNR."""

import math

import numpy as np
from numpy.typing import NDArray

MAX_PIXEL = 255
_BAND_PIXELS = 2**20


def squared_error(
    reference: NDArray[np.uint8],
    other: NDArray[np.uint8],
    visible: NDArray[np.bool_] | None = None,
) -> int:
    """Return the sum of squared differences of two arrays (H, W, C), exact at any size.

    It is computed in bands of rows, which bounds memory. visible: (H, W), mask of the pixels to
    compare; None: all.
    """
    rows = max(1, _BAND_PIXELS // reference.shape[1])
    total = 0
    for top in range(0, len(reference), rows):
        difference = reference[top : top + rows].astype(np.int32) - other[top : top + rows]
        if visible is not None:
            difference *= visible[top : top + rows, :, None]
        total += int(np.sum(difference * difference, dtype=np.int64))
    return total


def mse(squares: int, count: int) -> float:
    """Return the mean squared error on the scale [0, 1], that of the training loss.

    squares: sum over `count` squared differences of 8-bit values; for no values the mean is 0.
    """
    return squares / count / MAX_PIXEL**2 if count else 0.0


def psnr(error: float) -> float:
    """Return the peak signal-to-noise ratio in dB of a mean squared error on the scale [0, 1].

    It is 10·log10(255² / MSE of the 8-bit values), and infinite for equal pictures.
    """
    return -10 * math.log10(error) if error else math.inf
