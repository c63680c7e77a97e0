"""Test derivatives for encoders against the training network and finite differences."""

import numpy as np
import pytest
from made_models import make, make_light

from conftest import smooth_pixels
from optional_torch import torch
from slimcae.codec.tiled import quantise
from slimcae.coding.context import ContextModel
from slimcae.model.config import ArchitectureName
from slimcae.model.file import read_model
from slimcae.model.model import Model
from slimcae.model.registry import shipped_model
from slimcae.networks.slimcae import SlimCAE
from slimcae.transforms import open_gradients, open_slopes, open_transforms

ARCHITECTURES: list[ArchitectureName] = ["slimcae", "light"]


def made(architecture: ArchitectureName) -> tuple[SlimCAE, Model]:
    return make("slim+") if architecture == "slimcae" else make_light()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("grey", [False, True])
def test_the_gradient_is_that_of_the_network(architecture: ArchitectureName, grey: bool) -> None:
    (network, model), width = made(architecture), 8
    generator = np.random.default_rng(0)
    latents = generator.normal(scale=2.0, size=(width, 4, 5)).astype(np.float32)
    pixels = smooth_pixels(30, 41, 3)  # of the region's 32x48, the picture has only a part
    visible = generator.random(pixels.shape[:2]) < 0.7
    region = (slice(16, 48), slice(0, 48))
    error, gradient = open_gradients(model, width).distortion(
        latents, region, pixels, visible, grey
    )

    y = torch.tensor(latents).requires_grad_(True)
    x_hat = network.g_s((y + torch.tensor(model.medians(width))[:, None, None])[None], width)[0]
    x_hat = x_hat.clamp(0, 1)[:, 16:46, 0:41]
    if grey:
        x_hat = x_hat.mean(0).expand(3, -1, -1)
    difference = x_hat - torch.tensor(pixels).permute(2, 0, 1) / 255
    wanted = (difference.square() * torch.tensor(visible)).sum()
    wanted.backward()
    assert error == pytest.approx(wanted.item(), rel=1e-4)
    assert y.grad is not None
    scale = float(y.grad.abs().max())
    np.testing.assert_allclose(gradient, y.grad.numpy(), atol=1e-4 * scale)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_curvatures_are_right_on_average(architecture: ArchitectureName) -> None:
    (network, model), width = made(architecture), 4
    latents = np.random.default_rng(1).normal(size=(width, 6, 6)).astype(np.float32)
    found = open_gradients(model, width).curvature(latents)
    medians = torch.tensor(model.medians(width))[:, None, None]

    def synthesis(y: torch.Tensor) -> torch.Tensor:
        x_hat: torch.Tensor = network.synthesise((y + medians)[None], width)
        return x_hat.flatten()

    jacobian = torch.autograd.functional.jacobian(  # type: ignore[no-untyped-call, unused-ignore]
        synthesis, torch.tensor(latents), vectorize=True
    )
    assert found.mean() == pytest.approx(float(jacobian.square().sum()) / latents.size, rel=0.3)
    np.testing.assert_array_equal(found, open_gradients(model, width).curvature(latents))


def test_smooth_bits_are_those_of_the_tables() -> None:
    model = read_model(shipped_model())
    width, step = 48, 14
    pixels = smooth_pixels(128, 192, 2)
    residuals = open_transforms(model, precision="float32").residuals(pixels, width)
    symbols = quantise(residuals, model.steps[step])
    entropy_model = model.entropy_model(width)
    assert isinstance(entropy_model, ContextModel)
    smooth = open_slopes(entropy_model, step)
    assert smooth is not None
    bits, gradient = smooth.bits(symbols.astype(np.float32))  # type: ignore[attr-defined]
    assert bits == pytest.approx(entropy_model.ideal_bits(symbols, step), rel=0.03)
    # along a direction between integers, where the function is smooth
    generator = np.random.default_rng(3)
    soft = (symbols + generator.uniform(0.2, 0.3, symbols.shape)).astype(np.float32)
    _, gradient = smooth.bits(soft)  # type: ignore[attr-defined]
    direction = np.sign(gradient).astype(np.float32)
    ends = [smooth.bits(soft + by * direction)[0] for by in (-2e-3, 2e-3)]  # type: ignore[attr-defined]
    assert (ends[1] - ends[0]) / 4e-3 == pytest.approx(float(np.abs(gradient).sum()), rel=0.05)


def test_only_context_networks_are_smooth() -> None:
    _, model = make_light()
    assert open_slopes(model.entropy_model(8, "factorized"), 0) is None
