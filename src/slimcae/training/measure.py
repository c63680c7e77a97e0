"""Estimated rate and PSNR of a model on whole images during training."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slimcae.images.distortion import psnr
from slimcae.networks.autoencoder import Autoencoder
from slimcae.networks.context import ContextNetworks
from slimcae.networks.hyperprior import Hyperpriors
from slimcae.training.loss import bits_per_pixel


@dataclass(frozen=True)
class Point:
    """One point on the rate–distortion plane: mean estimated bpp and mean PSNR (dB)."""

    bpp: float
    psnr: float


@torch.no_grad()
def measure(
    model: Autoencoder, images: Sequence[Tensor], point: int, rates: nn.Module | None = None
) -> Point:
    """Return the mean bpp (estimated, float32) and PSNR of 8-bit reconstructions over images.

    images: uint8 tensors (3, H, W), padded as in the codec. rates: context networks or hyperpriors
    that estimate the rate; otherwise the densities do. The function updates the model's medians.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    bottleneck = model.entropy_bottleneck(point)
    bottleneck.update_medians()
    scale = model.architecture.downsampling
    points = []
    for image in images:
        _, h, w = image.shape
        x = image[None].to(device).float() / 255
        padding = (0, -w % scale, 0, -h % scale)
        out = model(F.pad(x, padding, mode="replicate"), point)
        x_hat = torch.round(out["x_hat"][:, :, :h, :w].clamp(0, 1) * 255) / 255
        error = max(float((x_hat - x).square().mean()), 1e-10)
        bpp = bits_per_pixel(out["likelihoods"], h * w)
        if isinstance(rates, ContextNetworks | Hyperpriors):
            known = out["y_hat"] - bottleneck.medians[:, None, None]
            bpp = rates.bits(known, known, point, 1.0) / (h * w)
        points.append((float(bpp), psnr(error)))
    model.train(was_training)
    return Point(*(sum(column) / len(points) for column in zip(*points, strict=True)))
