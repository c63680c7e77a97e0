"""Quality of a decoded picture, measured in bounded memory."""

import math
from importlib.util import find_spec

from slimcae.evaluation import metrics
from slimcae.evaluation.metrics import Mask, Pixels

MS_SSIM_PIXELS = 4_000_000
"""Largest picture for MS-SSIM, whose float tensors would otherwise need gigabytes."""


def psnr(reference: Pixels, other: Pixels, visible: Mask | None = None) -> float | None:
    """Return the PSNR in dB of visible pixels; None instead of infinity, which JSON lacks."""
    value = metrics.psnr(reference, other, visible)
    return value if math.isfinite(value) else None


def ms_ssim(reference: Pixels, other: Pixels, visible: Mask | None = None) -> float | None:
    """Return the MS-SSIM; None if the picture is too small or too large, or it is not installed."""
    if reference.shape[0] * reference.shape[1] > MS_SSIM_PIXELS:
        return None
    if find_spec("pytorch_msssim") is None:  # it comes with torch, which the studio does without
        return None
    return metrics.ms_ssim(reference, other, visible)
