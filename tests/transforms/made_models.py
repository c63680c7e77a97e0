"""Tiny networks whose layers all matter, and their models."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from conftest import smooth_pixels
from slimcae.model.config import ArchitectureName, GDNVariant, SlimCAEConfig
from slimcae.model.model import Model
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.warm_start import warm_start_transforms

WIDTHS = (12, 8, 4)


@cache
def make(variant: GDNVariant) -> tuple[SlimCAE, Model]:
    """Return a block transform with strong norms, so that no layer is nearly an identity."""
    network = _warm_start(SlimCAEConfig(WIDTHS, variant))
    with torch.no_grad():
        for name, p in network.named_parameters():
            if "gdn" in name:
                p.add_(0.02 * torch.rand_like(p))
            elif name.endswith(("weight", "bias")):
                p.add_(0.01 * torch.rand_like(p))
    return network.eval(), to_model(network)


@cache
def make_light(architecture: ArchitectureName = "light") -> tuple[SlimCAE, Model]:
    """Return a block transform whose residual branches matter, too."""
    network = _warm_start(SlimCAEConfig(WIDTHS, architecture=architecture))
    with torch.no_grad():
        for name, p in network.named_parameters():
            if name.startswith("g_"):
                # a lap sums 36 products where a depthwise layer sums nine
                p.add_((0.01 if "lap" in name else 0.02) * torch.randn_like(p))
    return network.eval(), to_model(network)


def _warm_start(config: SlimCAEConfig) -> SlimCAE:
    torch.manual_seed(3)
    network = SlimCAE(config)
    x = torch.stack([torch.from_numpy(smooth_pixels(64, 64, k)).permute(2, 0, 1) for k in range(4)])
    warm_start_transforms(network, x.float() / 255, (2000.0, 1000.0, 500.0))
    return network


def network_latents(network: SlimCAE, pixels: np.ndarray, width: int) -> Tensor:
    """Return y (C, h, w) of pixels (H, W, 3)."""
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        y: Tensor = network.g_a(x, width)[0]
    return y


def network_levels(network: SlimCAE, y: Tensor) -> Tensor:
    """Return the levels (H, W, 3) of latents (C, h, w), not rounded."""
    latents = {network.architecture.latent_channels(width): width for width in network.widths}
    with torch.no_grad():
        x_hat: Tensor = network.g_s(y[None], latents[len(y)])[0]
    return (x_hat.clamp(0, 1) * 255).permute(1, 2, 0)
