"""Metrics between two 8-bit pictures: MSE, PSNR and MS-SSIM.

All functions take two uint8 arrays of the same shape (H, W, C). All values have the same weight;
with `visible` (H, W), only the pixels in this mask count.
"""

import math

import numpy as np
import numpy.typing as npt

from slimcae.errors import ImageError
from slimcae.images import distortion

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

MS_SSIM_MIN_SIDE = 161
"""Smallest side with an MS-SSIM: an 11-pixel window still fits after four halvings."""


def mse(reference: Pixels, other: Pixels, visible: Mask | None = None) -> float:
    """Return the mean squared error of pixels in [0, 1], the scale of the training loss.

    This is the error of the uint8 values divided by 255².

    Raises:
        ImageError: The pictures differ in size.
    """
    _check_alike(reference, other)
    count = reference.size if visible is None else int(visible.sum()) * reference.shape[2]
    return distortion.mse(distortion.squared_error(reference, other, visible), count)


def psnr(reference: Pixels, other: Pixels, visible: Mask | None = None) -> float:
    """Return the peak signal-to-noise ratio, 10·log10(255² / MSE of uint8 values), in dB.

    Identical pictures have infinite PSNR.

    Raises:
        ImageError: The pictures differ in size.
    """
    return distortion.psnr(mse(reference, other, visible))


def ms_ssim(reference: Pixels, other: Pixels, visible: Mask | None = None) -> float | None:
    """Return the MS-SSIM in [0, 1], or None if a side is under 161 pixels.

    Pixels that are not visible count as equal. MS-SSIM is computed per channel and averaged, with
    five scales and an 11×11 Gaussian window with σ = 1.5.

    Source: Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality
    assessment", Asilomar 2003; computed by pytorch-msssim.

    Raises:
        ImageError: The pictures differ in size.
    """
    _check_alike(reference, other)
    if min(reference.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    if visible is not None:
        other = np.where(visible[:, :, None], other, reference)
    import pytorch_msssim
    import torch

    with torch.inference_mode():
        # a copy, because torch warns about read-only arrays such as Pillow's
        x, y = (
            torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
            for pixels in (reference, other)
        )
        value = float(pytorch_msssim.ms_ssim(x, y, data_range=distortion.MAX_PIXEL))
    return min(value, 1.0)  # rounding may give slightly more than 1 for identical pictures


def ms_ssim_db(value: float) -> float:
    """Return an MS-SSIM in dB, -10·log10(1 - value), as in the literature."""
    return -10 * math.log10(1 - value) if value < 1 else math.inf


def _check_alike(reference: Pixels, other: Pixels) -> None:
    if reference.shape != other.shape:
        raise ImageError(
            f"pictures of {_size(reference)} and {_size(other)} cannot be compared: "
            "both must have the same height, width and channels"
        )


def _size(pixels: Pixels) -> str:
    return "×".join(map(str, pixels.shape)) + " values"
