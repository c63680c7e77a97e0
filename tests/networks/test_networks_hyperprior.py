"""Test the hyperprior against scipy and slow definitions, and its integers against it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from slow_density import slow_mass, state_of
from torch import Tensor

from context_networks import random_symbols
from slimcae.coding.entropy import Part
from slimcae.coding.hyperprior import HyperpriorModel
from slimcae.errors import ModelError
from slimcae.model.file import read_model, write_model
from slimcae.model.model import Model
from slimcae.networks.hyperprior import (
    SMALLEST_LOG_SCALE,
    Hyperprior,
    Hyperpriors,
    normal_bits,
)
from slimcae.networks.hyperprior_conversion import (
    SCALES_PER_E,
    counted,
    hyperprior_tensors,
    hyperpriors_of,
)

STEPS = (1.0, 0.5, 2.2)


def random_hyperprior(seed: int = 0, channels: tuple[int, ...] = (6, 4)) -> Hyperprior:
    """Return a hyperprior in which every number matters."""
    torch.manual_seed(seed)
    found = Hyperprior({count: count for count in channels})
    with torch.no_grad():
        for name in ("h_a.1", "h_a.2", "h_a.3", "h_s.1", "h_s.2", "h_s.3"):
            found.layer(name).bias.normal_(std=0.2)
        found.layer("h_s.3").weight.normal_(std=0.05)
        found.layer("h_s.3").bias[:, 0] += 0.5
        found.layer("h_a.3").weight.mul_(3)
    return found.eval()


def latents_of(symbols: NDArray[np.int16], delta: float) -> Tensor:
    return torch.from_numpy(symbols.astype(np.float32))[None] * delta


def scipy_bits(values: NDArray[np.float64], deviation: NDArray[np.float64], delta: float) -> float:
    """Return −log₂ of the mass of a normal distribution within Δ / 2, on the precise side."""
    far = -np.abs(values)
    high, low = (stats.norm.logcdf((far + side * delta / 2) / deviation) for side in (1, -1))
    bits: float = -(high + np.log(-np.expm1(low - high))) / math.log(2)
    return bits


def test_bits_are_those_of_scipy() -> None:
    values = np.linspace(-40, 40, 321)
    log_scales = np.linspace(-4, 7, 56)[:, None]
    found = normal_bits(torch.tensor(values), torch.tensor(log_scales)).numpy()
    deviation = np.maximum(np.exp(log_scales), 0.11)
    np.testing.assert_allclose(found, scipy_bits(values, deviation, 1.0), rtol=1e-9)
    single = normal_bits(torch.tensor(values).float(), torch.tensor(log_scales).float())
    np.testing.assert_allclose(single.numpy(), found, rtol=3e-3, atol=1e-5)
    middle = normal_bits(torch.tensor(0.0), torch.tensor(0.0)).item()
    assert middle == pytest.approx(-math.log2(math.erf(0.5 / math.sqrt(2))), rel=1e-5)


def test_bits_and_gradients_stay_finite_far_out() -> None:
    values = torch.tensor([0.0, 3e4, -3e4, 0.4]).requires_grad_()
    log_scales = torch.tensor([[-9.0], [0.0], [30.0]]).requires_grad_()
    bits = normal_bits(values, log_scales)
    assert torch.isfinite(bits).all() and (bits >= 0).all()
    bits.sum().backward()  # type: ignore[no-untyped-call]
    for each in (values, log_scales):
        assert each.grad is not None and torch.isfinite(each.grad).all()
    assert log_scales.grad is not None and log_scales.grad[0] < 0  # outside of the bound
    # twice the distance squared, over ln 2
    assert log_scales.grad[1].item() == pytest.approx(-2 * 3e4**2 / math.log(2), rel=1e-3)


def test_gradients_of_the_bits_are_the_numeric_ones() -> None:
    torch.manual_seed(1)
    values = (3 * torch.randn(5, 3, dtype=torch.float64)).requires_grad_()
    log_scales = torch.randn(5, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(normal_bits, (values, log_scales))


@pytest.mark.parametrize("delta", STEPS)
def test_bits_of_both_parts_are_those_of_the_definition(delta: float) -> None:
    """Code z with the density of its width, and y with normal distributions in bins of length Δ."""
    net = random_hyperprior()
    symbols = random_symbols(1, (4, 6, 7)) % 9
    known = latents_of(symbols, delta)
    with torch.no_grad():
        found = net(known, 4, delta)
        z = torch.round(net.analyse(known, 4, torch.tensor(delta)))
        log_scales = net.log_scales(z, 4, torch.tensor(delta))[0, :, :6, :7].double().numpy()
    assert found["z"].shape == z.shape == (1, 4, 2, 2)
    assert len(np.unique(z)) > 3
    state = state_of(net.bottleneck(4))
    for channel, values in enumerate(z[0].double().numpy()):
        mass = slow_mass(state, channel, values.ravel())
        np.testing.assert_allclose(
            found["z"][0, channel].ravel(), -np.log2(np.maximum(mass, 1e-9)), rtol=1e-3, atol=1e-4
        )
    deviation = np.maximum(np.exp(log_scales), 0.11 * delta)
    expected = scipy_bits(symbols.astype(np.float64) * delta, deviation, delta)
    np.testing.assert_allclose(found["y"][0].numpy(), expected, rtol=3e-3, atol=1e-4)


def test_what_is_coded_may_differ_from_what_is_known() -> None:
    net = random_hyperprior()
    known = latents_of(random_symbols(2, (6, 4, 4)) % 5, 1.0)
    with torch.no_grad():
        plain, noisy = net(known, 6, 1.0), net(known, 6, 1.0, known + 0.4)
        again = net(known + 0.4, 6, 1.0)  # rounded first
    assert torch.equal(plain["z"], noisy["z"]) and torch.equal(plain["z"], again["z"])
    assert torch.equal(plain["y"], again["y"])
    assert not torch.equal(plain["y"], noisy["y"])


def test_gradients_reach_the_latents_and_all_weights_of_the_width() -> None:
    net = random_hyperprior().train()
    y = (5 * torch.randn(1, 4, 8, 8)).requires_grad_()
    net.bits(y, y, 4, torch.tensor(0.7)).backward()  # type: ignore[no-untyped-call]
    assert y.grad is not None and (y.grad != 0).float().mean() > 0.9
    for name, p in net.named_parameters():
        if name.startswith("bottlenecks.6"):
            assert p.grad is None
        else:
            assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any(), name
        if name.endswith("weight"):
            assert p.grad is not None
            assert not p.grad[4:].any() and not p.grad[:, 4:].any()  # kernels are sliced


def test_biases_are_each_widths_own() -> None:
    net = random_hyperprior()
    known = latents_of(random_symbols(3, (4, 5, 5)) % 7, 1.0)
    with torch.no_grad():
        before = net(known, 4, 1.0)["y"]
        for name in ("h_a.1", "h_s.2"):
            net.layer(name).bias[0] += 1
        assert torch.equal(net(known, 4, 1.0)["y"], before)
        net.layer("h_s.2").bias[1] += 1
        assert not torch.equal(net(known, 4, 1.0)["y"], before)


def test_a_new_one_predicts_the_spread_it_was_given() -> None:
    net = Hyperprior({3: 3, 2: 2})
    net.begin_with(torch.tensor([0.5, 2.0, 8.0]), 3)
    log_scales = net.log_scales(torch.randn(1, 3, 1, 2), 3, torch.tensor(2.0)).exp()
    expected = torch.tensor([0.5, 2.0, 8.0])[:, None, None].expand(1, 3, 4, 8)
    torch.testing.assert_close(log_scales, expected)


def test_integers_are_what_floats_are() -> None:
    """z and the tables derived from it are equal, except for rounding."""
    net = random_hyperprior(1)
    for step, delta in enumerate(STEPS):
        symbols = random_symbols(step, (6, 21, 30)) % 40
        model = counted(net, 6, STEPS, [(symbols, step)])
        z = model.side_information(symbols, step)
        with torch.no_grad():
            real = net.analyse(latents_of(symbols, delta), 6, torch.tensor(delta))[0].numpy()
        assert real.std() > 1
        assert np.abs(z - real).mean() < 0.3 and np.abs(z - real).max() < 1
        parts: list[NDArray[Any]] = []

        def note(part: Part, parts: list[NDArray[Any]] = parts) -> Any:
            parts.append(part.which)
            return part.values

        model.walk(note, (6, 21, 30), step, symbols)
        with torch.no_grad():
            of_z = torch.from_numpy(z.astype(np.float32))[None]
            logs = net.log_scales(of_z, 6, torch.tensor(delta))[0, :, :21, :30] - math.log(delta)
        index = (SCALES_PER_E * (logs.numpy() - SMALLEST_LOG_SCALE)).clip(0, 29)
        choice = model.to_arrays()["choice"]
        assert len(np.unique(np.floor(index))) > 4
        expected = choice[np.floor(index).astype(int)].ravel()
        assert np.mean(parts[1] == expected) > 0.9


@pytest.mark.parametrize("step", range(3))
def test_integers_cost_what_floats_cost(step: int) -> None:
    """With the masses of the normal distribution as tables, the only loss is rounding."""
    net = random_hyperprior(2)
    with torch.no_grad():
        net.layer("h_s.3").weight.mul_(0.3)
        net.layer("h_s.3").bias.zero_()
    net.begin_with(torch.full((6,), 2.0), 6)
    model = counted(net, 6, STEPS, [])
    values = np.random.default_rng(step).normal(0, 2, (6, 40, 50))
    symbols = np.rint(values / STEPS[step]).astype(np.int16)
    with torch.no_grad():
        bits = net(latents_of(symbols, STEPS[step]), 6, STEPS[step])
        wanted = sum(part.sum().item() for part in bits.values())
    assert model.ideal_bits(symbols, step) == pytest.approx(wanted, rel=0.015)


@pytest.mark.parametrize("size", [0.01, 1.0, 30.0])
def test_any_weights_become_exact_integers(size: float) -> None:
    """Values that violate the bound are refused when the model is made."""
    net = random_hyperprior(3, (5,))
    with torch.no_grad():
        for name, p in net.named_parameters():
            if not name.startswith("bottlenecks"):
                p.add_(size * torch.randn_like(p))
    model = counted(net, 5, STEPS, [])
    symbols = random_symbols(3, (5, 5, 3))
    data = model.encode(symbols, 1)
    np.testing.assert_array_equal(model.decode(data, (5, 5, 3), 1), symbols)


def test_counts_beat_the_distribution_where_they_were_counted() -> None:
    net = random_hyperprior(4)
    tiles = [(random_symbols(k, (6, 24, 24)), k % 3) for k in range(6)]
    plain, found = counted(net, 6, STEPS, []), counted(net, 6, STEPS, iter(tiles))
    assert isinstance(found, HyperpriorModel)
    for symbols, step in tiles:
        assert found.ideal_bits(symbols, step) < 0.9 * plain.ideal_bits(symbols, step)


def test_it_comes_back_from_a_model_file(
    tiny_model: Model, tmp_path_factory: pytest.TempPathFactory
) -> None:
    net = Hyperpriors([random_hyperprior(5, (12, 8, 4))])
    path = tmp_path_factory.mktemp("models") / "model.safetensors"
    write_model(path, replace(tiny_model, training_tensors=hyperprior_tensors(net)))
    model = read_model(path)
    again = hyperpriors_of(model)
    assert again is not None and not again.training
    for name, tensor in net.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert model.fingerprint(8) == tiny_model.fingerprint(8)  # it does not affect coding
    assert hyperpriors_of(tiny_model) is None


def test_tensors_of_none_are_refused(tiny_model: Model) -> None:
    good = hyperprior_tensors(Hyperpriors([random_hyperprior(5, (12, 8, 4))]))
    name = "hyperprior.12.h_s2.weight"
    for wrong in (
        {key: array for key, array in good.items() if key != name},
        {**good, name: good[name][:-1]},
        {**good, "hyperprior.more": np.zeros(3, np.float32)},
        hyperprior_tensors(Hyperpriors([random_hyperprior(5, (12, 8))])),
    ):
        with pytest.raises(ModelError, match="not a hyperprior"):
            hyperpriors_of(replace(tiny_model, training_tensors=wrong))
