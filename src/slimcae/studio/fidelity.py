"""How close a decoded picture is to its original, in bounded memory."""

import math

from slimcae.evaluation import metrics
from slimcae.evaluation.metrics import Pixels

MS_SSIM_PIXELS = 4_000_000
"""Of larger pictures MS-SSIM is not taken: its float tensors would need gigabytes."""
_BAND_PIXELS = 2**20


def psnr(reference: Pixels, other: Pixels) -> float | None:
    """PSNR in dB as `metrics.psnr` gives it, in bands of rows; None for identical pictures."""
    rows = max(1, _BAND_PIXELS // reference.shape[1])
    squares = sum(
        metrics.mse(reference[top : top + rows], other[top : top + rows])
        * reference[top : top + rows].size
        for top in range(0, len(reference), rows)
    )
    return -10 * math.log10(squares / reference.size) if squares else None


def ms_ssim(reference: Pixels, other: Pixels) -> float | None:
    """MS-SSIM, or None for pictures too small or too large for it."""
    if reference.shape[0] * reference.shape[1] > MS_SSIM_PIXELS:
        return None
    return metrics.ms_ssim(reference, other)
