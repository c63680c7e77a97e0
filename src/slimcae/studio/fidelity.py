"""How close a decoded picture is to its original, in bounded memory."""

import math
from importlib.util import find_spec

from slimcae.evaluation import metrics
from slimcae.evaluation.metrics import Mask, Pixels

MS_SSIM_PIXELS = 4_000_000
"""Of larger pictures MS-SSIM is not taken: its float tensors would need gigabytes."""


def psnr(reference: Pixels, other: Pixels, visible: Mask | None = None) -> float | None:
    """PSNR in dB of what is visible, or None without any error: JSON has no infinity."""
    value = metrics.psnr(reference, other, visible)
    return value if math.isfinite(value) else None


def ms_ssim(reference: Pixels, other: Pixels, visible: Mask | None = None) -> float | None:
    """MS-SSIM; None for pictures too small or too large for it, and where it is not installed."""
    if reference.shape[0] * reference.shape[1] > MS_SSIM_PIXELS:
        return None
    if find_spec("pytorch_msssim") is None:  # it comes with torch, which the studio does without
        return None
    return metrics.ms_ssim(reference, other, visible)
