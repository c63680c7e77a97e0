"""Smooth colours for transparent pixels, computed from the visible pixels around them.

Colours where alpha is 0 are arbitrary (black, noise, the uncropped picture) and invisible, but hard
edges there cost bits and quality of visible pixels. So they are replaced before the analysis by a
pyramid of means of visible pixels ("push–pull": Gortler et al., The Lumigraph, SIGGRAPH 1996, 4.3).
The arithmetic is integer, so every machine computes the same colours.
"""

import numpy as np
from numpy.typing import NDArray

_BAND_PIXELS = 2**18
_NOTHING_VISIBLE = 128

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def fill_hidden(pixels: Pixels, visible: Mask) -> Pixels:
    """Return pixels (H, W, 3) with smooth colours where `visible` (H, W) is false.

    Visible pixels do not change. The result does not depend on the hidden pixels, which become
    middle grey if nothing is visible.
    """
    levels = [(pixels, visible)]
    while not levels[-1][1].all() and max(levels[-1][1].shape) > 1:
        levels.append(_halved(*levels[-1]))
    filled, known = levels.pop()
    if not known.all():
        filled = np.full_like(filled, _NOTHING_VISIBLE)
    while levels:
        filled = _refined(*levels.pop(), filled)
    return filled


def _halved(pixels: Pixels, known: Mask) -> tuple[Pixels, Mask]:
    """Return the means of the known pixels in 2x2 blocks, and a mask of blocks with any."""
    height, width = (-(-side // 2) for side in known.shape)
    halved, any_known = np.empty((height, width, 3), np.uint8), np.empty((height, width), np.bool_)
    rows = max(1, _BAND_PIXELS // (4 * width))
    for top in range(0, height, rows):
        place = slice(top, top + rows)
        part, mask = pixels[2 * top : 2 * (top + rows)], known[2 * top : 2 * (top + rows)]
        below, right = mask.shape[0] % 2, mask.shape[1] % 2
        mask = np.pad(mask, ((0, below), (0, right)))
        part = np.pad(part, ((0, below), (0, right), (0, 0))) * mask[:, :, None]
        quarters = [(slice(y, None, 2), slice(x, None, 2)) for y in (0, 1) for x in (0, 1)]
        count = np.sum([mask[quarter] for quarter in quarters], axis=0, dtype=np.uint16)
        total = np.sum([part[quarter] for quarter in quarters], axis=0, dtype=np.uint16)
        divisor = np.maximum(count, 1)[:, :, None]
        halved[place] = (total + divisor // 2) // divisor
        any_known[place] = count > 0
    return halved, any_known


def _refined(pixels: Pixels, known: Mask, coarse: Pixels) -> Pixels:
    """Return the pixels, with unknown ones interpolated from those at half the resolution."""
    height, width = known.shape
    refined = pixels.copy()
    rows = max(1, _BAND_PIXELS // width)
    near_columns, far_columns = _neighbours(0, width, coarse.shape[1])
    for top in range(0, height, rows):
        place = slice(top, min(top + rows, height))
        hidden = ~known[place]
        if hidden.any():
            near, far = _neighbours(top, place.stop, coarse.shape[0])
            part = 3 * coarse[near].astype(np.uint16) + coarse[far]
            part = 3 * part[:, near_columns] + part[:, far_columns]
            refined[place][hidden] = ((part[hidden] + 8) >> 4).astype(np.uint8)
    return refined


def _neighbours(start: int, stop: int, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return, for positions at full resolution, the nearest and the next one at half of it."""
    position = np.arange(start, stop)
    near = position // 2
    return near, np.clip(near + 2 * (position % 2) - 1, 0, count - 1)
