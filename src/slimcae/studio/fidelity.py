"""How close a decoded picture is to its original, in bounded memory."""

import math

from slimcae.evaluation import metrics
from slimcae.evaluation.metrics import Pixels

MS_SSIM_PIXELS = 4_000_000
"""Of larger pictures MS-SSIM is not taken: its float tensors would need gigabytes."""


def psnr(reference: Pixels, other: Pixels) -> float | None:
    """PSNR in dB, or None for identical pictures: JSON has no infinity."""
    value = metrics.psnr(reference, other)
    return value if math.isfinite(value) else None


def ms_ssim(reference: Pixels, other: Pixels) -> float | None:
    """MS-SSIM, or None for pictures too small or too large for it."""
    if reference.shape[0] * reference.shape[1] > MS_SSIM_PIXELS:
        return None
    return metrics.ms_ssim(reference, other)
