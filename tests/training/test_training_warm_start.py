import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from slimcae.model.config import GDN_VARIANTS, ArchitectureName, GDNVariant, SlimCAEConfig
from slimcae.networks.slimcae import SlimCAE
from slimcae.training import warm_start
from slimcae.training.loss import RateDistortionLoss
from slimcae.training.warm_start import (
    fit_entropy_models,
    lapping,
    principal_components,
    warm_start_transforms,
)


def smooth_batch(count: int, size: int) -> Tensor:
    """Return pictures of slow waves and a little noise, like photos out of focus."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size] / 40
    phase, pitch = rng.uniform(0, 6, (count, 3, 1, 1)), rng.uniform(0.5, 2, (2, count, 3, 1, 1))
    waves = np.sin(rows * pitch[0] + columns * pitch[1] + phase)
    pixels = np.clip(128 + 90 * waves + rng.normal(0, 4, waves.shape), 0, 255)
    return torch.from_numpy(np.rint(pixels) / 255).float()


def warm_model(
    widths: tuple[int, ...], lmbda: tuple[float, ...], gdn: GDNVariant = "switchable"
) -> SlimCAE:
    torch.manual_seed(0)
    model = SlimCAE(SlimCAEConfig(widths, gdn)).eval()
    warm_start_transforms(model, smooth_batch(8, 64), lmbda)
    return model


def warm_light(
    widths: tuple[int, ...], lmbda: tuple[float, ...], architecture: ArchitectureName = "light"
) -> SlimCAE:
    torch.manual_seed(0)
    model = SlimCAE(SlimCAEConfig(widths, architecture=architecture)).eval()
    warm_start_transforms(model, smooth_batch(8, 64), lmbda)
    return model


def psnr(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10(float((a - b).square().mean()))


def blocks(x: Tensor, size: int) -> np.ndarray:
    """Return all size × size blocks as rows (count, C · size²), cut with numpy."""
    n, c, h, w = x.shape
    cut = x.numpy().reshape(n, c, h // size, size, w // size, size)
    return cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, c * size**2).astype(np.float64)


@pytest.mark.parametrize("size", [2, 4])
def test_components_are_orthonormal_nested_and_ordered(size: int) -> None:
    x = smooth_batch(4, 32) - 0.5
    kernels = principal_components(x, size, 3 * size**2)
    assert kernels.shape == (3 * size**2, 3, size, size)
    rows = kernels.flatten(1).numpy()
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-5)
    assert torch.equal(principal_components(x, size, 5), kernels[:5])
    energy = (blocks(x, size) @ rows.T).__pow__(2).mean(axis=0)
    assert all(a >= b * (1 - 1e-4) for a, b in pairwise(energy))


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    x = smooth_batch(4, 32) - 0.5
    rows = principal_components(x, 4, 4).flatten(1).double().numpy()
    _, _, expected = np.linalg.svd(blocks(x, 4), full_matrices=False)
    np.testing.assert_allclose(np.abs(np.sum(rows * expected[:4], axis=1)), 1, atol=1e-4)


def test_unquantised_latents_give_the_picture_back_better_with_every_width() -> None:
    model = warm_model((96, 48, 12), (2048, 2048, 2048))
    x = smooth_batch(2, 64)
    with torch.no_grad():
        qualities = [psnr(model.g_s(model.g_a(x, width), width), x) for width in (96, 48, 12)]
    assert qualities[0] > 33
    assert qualities == sorted(qualities, reverse=True)
    assert qualities[2] > 24


def test_light_gives_the_picture_back_better_with_every_width() -> None:
    model = warm_light((96, 48, 12), (2048, 2048, 2048))
    x = smooth_batch(2, 64)
    with torch.no_grad():
        qualities = [psnr(model.g_s(model.g_a(x, width), width), x) for width in (96, 48, 12)]
    assert qualities[0] > 33
    assert qualities == sorted(qualities, reverse=True)
    assert qualities[2] > 24


def test_broad_starts_with_its_additional_latents() -> None:
    x = smooth_batch(4, 96)
    with torch.no_grad():
        light, broad = (
            [psnr(model.g_s(model.g_a(x, width), width), x) for width in (96, 48, 12)]
            for model in (
                warm_light((96, 48, 12), (2048, 2048, 2048), architecture)
                for architecture in ("light", "broad")
            )
        )
    assert all(more > few for few, more in zip(light, broad, strict=True))


def test_light_is_invertible_where_no_component_is_dropped() -> None:
    """Except at the border of the picture, beyond which laps depend on pixels."""
    torch.manual_seed(1)
    x = torch.rand(4, 3, 96, 96)
    model = SlimCAE(SlimCAEConfig((768,), architecture="light")).eval()
    warm_start_transforms(model, x, (64.0,))
    with torch.no_grad():
        x_hat = model.g_s(model.g_a(x, 768), 768)
    inside = (..., slice(32, -32), slice(32, -32))
    torch.testing.assert_close(x_hat[inside], x[inside], atol=1e-4, rtol=0)


def test_laps_change_the_steps_between_blocks_and_undo_it() -> None:
    """By hand: a row of blocks of 2 × 2 values, 0 and then 1, whose step becomes half of it."""
    torch.manual_seed(1)
    blocks = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 2, 4, 4)
    halved = lapping(torch.tensor([True, False]), 0.5)
    found = F.pixel_shuffle(F.conv2d(F.pixel_unshuffle(blocks, 2), halved, padding=1, groups=2), 2)
    assert found[0, 0, 1, 1:3].tolist() == [0.25, 0.75]
    torch.testing.assert_close(found[0, 1], blocks[0, 1])

    x = F.pixel_unshuffle(torch.rand(1, 2, 12, 12), 2)
    there = F.conv2d(x, lapping(torch.tensor([True, True]), 1 / 0.7), padding=1, groups=2)
    back = F.conv2d(there, lapping(torch.tensor([True, True]), 0.7), padding=1, groups=2)
    torch.testing.assert_close(back[..., 1:-1, 1:-1], x[..., 1:-1, 1:-1])


def test_light_starts_with_less_of_a_step_between_blocks() -> None:
    """Two even areas meet at a border of latents, coded by the means of blocks only."""
    model = warm_light((96, 4), (2048, 2048))
    x = torch.full((1, 3, 128, 128), 0.3)
    x[..., 64:] = 0.7
    with torch.no_grad():
        y = model.g_a(x, 96)
        y[:, 1:] = 0
        row = model.g_s(y, 96)[0, :, 60, 32:96].mean(0)
    across = row[32] - row[31]
    assert across < 0.6 * (row.max() - row.min())


def test_light_s_rounding_step_is_where_lmbda_wants_it() -> None:
    """As below: 29 grey levels at λ = 2048, growing with λ^−½."""
    model = warm_light((24, 12), (2048, 512))
    grey = torch.full((1, 3, 64, 64), 0.5)
    with torch.no_grad():
        for width, step in ((24, 28.7), (12, 57.4)):
            shift = model.g_a(grey + 0.02, width) - model.g_a(grey, width)
            length = shift[0, :, 2, 2].norm().item()
            assert 255 * 0.02 * math.sqrt(3 * 256) / length == pytest.approx(step, rel=0.03)


def test_the_transform_is_invertible_where_no_component_is_dropped() -> None:
    """Three components are enough for pictures of flat 16 × 16 blocks."""
    torch.manual_seed(1)
    flat = torch.rand(4, 3, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)
    model = SlimCAE(SlimCAEConfig((12, 4))).eval()
    warm_start_transforms(model, flat, (64.0, 64.0))
    with torch.no_grad():
        x_hat = model.g_s(model.g_a(flat, 4), 4)
    torch.testing.assert_close(x_hat, flat, atol=0.02, rtol=0)


def test_the_rounding_step_is_where_lmbda_wants_it() -> None:
    """About 29 grey levels at λ = 2048 (training notes), growing with λ^−½."""
    model = warm_model((24, 12), (2048, 512))
    grey = torch.full((1, 3, 64, 64), 0.5)
    brighter = grey + 0.02
    with torch.no_grad():
        for width, step in ((24, 28.7), (12, 57.4)):
            shift = model.g_a(brighter, width) - model.g_a(grey, width)
            # orthonormal up to the gain: 3 · 16² values of 0.02 make the length of the change
            length = shift[0, :, 2, 2].norm().item()
            gain = length / (0.02 * math.sqrt(3 * 256))
            assert 255 / gain == pytest.approx(step, rel=0.03)


@pytest.mark.parametrize("variant", GDN_VARIANTS)
def test_every_variant_reconstructs_at_every_width(variant: GDNVariant) -> None:
    model = warm_model((24, 12, 6), (512.0, 256.0, 128.0), variant)
    x = smooth_batch(2, 64)
    with torch.no_grad():
        for width in model.widths:
            assert psnr(model.g_s(model.g_a(x, width), width), x) > 22


def test_mean_colour_passes_exactly() -> None:
    model = warm_model((24, 12), (512.0, 256.0))
    mean = smooth_batch(8, 64).mean(dim=(0, 2, 3))
    x = mean[None, :, None, None].expand(1, 3, 64, 64)
    with torch.no_grad():
        middle = model.g_s(model.g_a(x, 12), 12)[0, :, 16:48, 16:48]
    torch.testing.assert_close(middle, x[0, :, 16:48, 16:48], atol=1e-4, rtol=0)


def losses(model: SlimCAE, x: Tensor, lmbda: tuple[float, ...]) -> tuple[float, Tensor]:
    torch.manual_seed(1)
    model.train()
    with torch.no_grad():
        total, measured = RateDistortionLoss(model, lmbda)(x, model.widths)
    return total.item(), measured


def test_it_starts_far_below_random_weights_and_fitting_lowers_the_rate() -> None:
    lmbda = (1024.0, 512.0)
    x = smooth_batch(8, 64)
    torch.manual_seed(0)
    random_loss, _ = losses(SlimCAE(SlimCAEConfig((24, 12))), x, lmbda)
    model = warm_model((24, 12), lmbda)
    _, before = losses(model, x, lmbda)
    fit_entropy_models(model, x, seed=0)
    warm_loss, after = losses(model, x, lmbda)
    assert (after[:, 0] < 0.6 * before[:, 0]).all(), "the rate falls"
    assert torch.equal(after[:, 1], before[:, 1]), "fitting leaves the transforms alone"
    assert warm_loss < 0.3 * random_loss


def test_fitted_densities_match_the_latents() -> None:
    """The fitted rate is near the entropy of the rounded latents, counted."""
    model = warm_model((12, 6), (2048.0, 1024.0))
    x = smooth_batch(16, 64)
    fit_entropy_models(model, x, seed=0)
    model.eval()
    with torch.no_grad():
        y = model.g_a(x, 6)
        bits = -model.entropy_bottleneck(6).likelihood(y.round()).log2().mean(dim=(0, 2, 3))
    for channel in range(6):
        counts = np.unique(y[:, channel].round().numpy(), return_counts=True)[1]
        share = counts / counts.sum()
        entropy = -float((share * np.log2(share)).sum())
        # 256 values undersample the entropy; a density that missed them would cost far more
        assert bits[channel].item() == pytest.approx(entropy, abs=0.8)


def test_fitting_is_deterministic_and_clears_its_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warm_start, "FIT_STEPS", 20)
    x = smooth_batch(4, 64)
    models = [warm_model((6, 3), (256.0, 128.0)) for _ in range(2)]
    for model in models:
        fit_entropy_models(model, x, seed=4)
    first, second = (m.state_dict() for m in models)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(p.grad is None for p in models[0].parameters())


@pytest.mark.parametrize("widths", [(12, 4), (60, 8), (200, 8)])
def test_no_channel_is_dead(widths: tuple[int, ...]) -> None:
    """Every filter can learn within a few steps: one of a pair of layers is not zero."""
    model = warm_model(widths, (512.0,) * len(widths)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    layers = [f"g_a.conv{k}.weight" for k in (1, 2, 3)] + [
        f"g_s.deconv{k}.weight" for k in (1, 2, 3)
    ]
    learns = {name: torch.zeros_like(model.get_parameter(name)) for name in layers}
    x = smooth_batch(1, 64)
    for _ in range(4):
        optimizer.zero_grad()
        (500 * (model(x, widths[0])["x_hat"] - x).square().mean()).backward()
        for name, total in learns.items():
            grad = model.get_parameter(name).grad
            assert grad is not None
            total += grad.abs()
        optimizer.step()
    for name, total in learns.items():
        for dim in (0, 1):
            dead = int((total.transpose(0, dim).flatten(1).sum(dim=1) == 0).sum())
            assert not dead, f"{name}: {dead} of {total.shape[dim]} channels on side {dim}"
