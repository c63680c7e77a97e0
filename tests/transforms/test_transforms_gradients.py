"""Derivatives for encoders, against the network that trains."""

import numpy as np
import pytest
from made_models import make, make_light

from conftest import smooth_pixels
from optional_torch import torch
from slimcae.model.config import ArchitectureName
from slimcae.model.model import Model
from slimcae.networks.slimcae import SlimCAE
from slimcae.transforms import open_gradients

ARCHITECTURES: list[ArchitectureName] = ["slimcae", "light", "lighter", "broad", "broader"]


def made(architecture: ArchitectureName) -> tuple[SlimCAE, Model]:
    return make("slim+") if architecture == "slimcae" else make_light(architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("grey", [False, True])
def test_the_gradient_is_that_of_the_network(architecture: ArchitectureName, grey: bool) -> None:
    (network, model), width = made(architecture), 8
    generator = np.random.default_rng(0)
    channels = model.architecture.latent_channels(width)
    latents = generator.normal(scale=2.0, size=(channels, 4, 5)).astype(np.float32)
    pixels = smooth_pixels(30, 41, 3)  # of the region's 32x48, the picture has only a part
    visible = generator.random(pixels.shape[:2]) < 0.7
    region = (slice(16, 48), slice(0, 48))
    gradients = open_gradients(model, threads=1)
    gradient = gradients.squared_error(width, (4, 5), region, pixels, visible, grey)(latents)

    y = torch.tensor(latents).requires_grad_(True)
    x_hat = network.g_s((y + torch.tensor(model.medians(width))[:, None, None])[None], width)[0]
    x_hat = x_hat.clamp(0, 1)[:, 16:46, 0:41]
    if grey:
        x_hat = x_hat.mean(0).expand(3, -1, -1)
    difference = x_hat - torch.tensor(pixels).permute(2, 0, 1) / 255
    wanted = (difference.square() * torch.tensor(visible)).sum()
    wanted.backward()
    assert y.grad is not None
    scale = float(y.grad.abs().max())
    np.testing.assert_allclose(gradient, y.grad.numpy(), atol=1e-4 * scale)
