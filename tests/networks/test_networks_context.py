"""Test the context network against slow definitions in float64, and its integers against it."""

import math
from dataclasses import replace
from decimal import Decimal, localcontext
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from slimcae.coding.context_counting import counted_model
from slimcae.errors import ModelError
from slimcae.model.config import ARCHITECTURES
from slimcae.model.file import read_model, write_model
from slimcae.model.model import Model
from slimcae.networks.context import (
    ContextNetwork,
    _LogisticBits,
    default_groups,
    default_hidden,
    neighbourhoods,
)
from slimcae.networks.context_conversion import (
    SCALES,
    SCALES_PER_E,
    SMALLEST_LOG_SCALE,
    context_networks,
    context_tensors,
    from_integers,
    networks_to_continue,
    to_integers,
)

STEPS = (1.0, 0.5, 2.2)
Doubles = NDArray[np.float64]


def random_network(
    seed: int = 0, groups: tuple[int, ...] = (1, 2, 3), hidden: int = 7, size: float = 0.2
) -> ContextNetwork:
    torch.manual_seed(seed)
    network = ContextNetwork(groups, hidden, torch.linspace(1, 0, sum(groups)))
    with torch.no_grad():
        for p in network.parameters():
            p.add_(size * torch.randn_like(p))
    return network


def random_symbols(seed: int, shape: tuple[int, int, int]) -> NDArray[np.int16]:
    return np.rint(np.random.default_rng(seed).laplace(0, 2, shape)).astype(np.int16)


def slow_prediction(
    net: dict[str, Doubles],
    groups: tuple[int, ...],
    values: Doubles,
    delta: float,
    at: tuple[int, int, int],
) -> tuple[float, float]:
    """Return mean and log-scale at channel, row and column `at`, tap by tap from known symbols."""
    channel, row, column = at
    ends = np.cumsum(groups)
    group = int(np.searchsorted(ends, channel, side="right"))
    white = (row + column) % 2
    state = math.log(delta) * net["start"][0] + math.log(delta) ** 2 * net["start"][1]
    for known in range(group + 1):
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                crossing = (down + right) % 2 == 1
                if known == group and not (white and crossing):
                    continue  # only black fields of this group are known, and only to white ones
                i, j = row + down, column + right
                if not (0 <= i < values.shape[1] and 0 <= j < values.shape[2]):
                    continue
                seen = values[ends[known] - groups[known] : ends[known], i, j]
                sizes = np.minimum(np.rint(16 * np.log1p(np.abs(seen))), 127) / 16
                features = np.stack([np.sign(seen) * sizes, sizes], axis=1).ravel()
                name = f"{'cross' if crossing else 'even'}.{known}"
                taps = net[name].reshape(4 if crossing else 5, len(features), -1)
                tap = 3 * (down + 1) + right + 1
                state = state + features @ taps[tap // 2]
    part = 2 * group + white
    hidden = np.clip(state + net["bias"][part, 0], 0, 127 / 16)
    mixed = hidden @ net["mix"][part] + net["mix_bias"][part, 0]
    hidden = hidden + np.clip(mixed, 0, 127 / 16)
    out = hidden @ net[f"out.{group}"][white] + net[f"out_bias.{group}"][white, 0]
    inside = channel - (ends[group] - groups[group])
    return out[inside], out[groups[group] + inside]


def slow_bits(network: ContextNetwork, values: Doubles, delta: float) -> Doubles:
    net = {name: array.astype(np.float64) for name, array in network.to_arrays().items()}
    bits = np.empty(values.shape)
    for at, value in np.ndenumerate(values):
        assert len(at) == 3
        mean, log_scale = slow_prediction(net, network.groups, values, delta, at)
        bits[at] = exact_bits(value, mean, log_scale, delta)
    return bits


def exact_bits(value: float, mean: float, log_scale: float, delta: float) -> float:
    """Return −log₂ of the mass of a logistic around a value, with enough precision for any tail."""
    with localcontext(prec=400):
        scale, distance = Decimal(log_scale).exp(), Decimal(value) - Decimal(mean)
        ends = [(distance + side * Decimal(delta) / 2) / scale for side in (1, -1)]
        high, low = (1 / (1 + (-end).exp()) for end in ends)
        return float(-(high - low).ln() / Decimal(2).ln())


def fast_bits(network: ContextNetwork, values: Doubles, delta: float) -> Doubles:
    channels, height, width = values.shape
    known = neighbourhoods(torch.tensor(values, dtype=torch.float32)[None])
    with torch.no_grad():
        both = network(known, torch.full((len(known), 1), delta))
    colour = np.indices((height, width)).sum(axis=0).ravel() % 2
    chosen = both.numpy()[colour, np.arange(len(known))]
    return np.asarray(chosen.T.reshape(channels, height, width), np.float64)


@pytest.mark.parametrize("delta", STEPS)
@pytest.mark.parametrize("groups", [(1, 2, 3), (4,), (2, 1)])
def test_bits_are_those_of_the_definition(groups: tuple[int, ...], delta: float) -> None:
    network = random_network(len(groups), groups)
    values = delta * random_symbols(1, (sum(groups), 4, 5)).astype(np.float64)
    np.testing.assert_allclose(
        fast_bits(network, values, delta), slow_bits(network, values, delta), rtol=2e-4, atol=1e-5
    )


def test_what_is_coded_may_differ_from_what_is_known() -> None:
    network = random_network()
    known = torch.round(3 * torch.randn(5, 9, 6))
    steps = torch.ones(5, 1)
    coded = known[:, 4] + 0.4
    with torch.no_grad():
        same = network(known, steps, known[:, 4])
        assert torch.equal(same, network(known, steps))
        mean, log_scale = network.predict(network.features(known), torch.log(steps))
        found = network(known, steps, coded)
    for at, bits in np.ndenumerate(found.numpy()):
        value = coded[at[1:]].item()
        expected = exact_bits(value, mean[at].item(), log_scale[at].item(), 1.0)
        assert bits == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_gradients_of_the_bits_are_the_numeric_ones() -> None:
    torch.manual_seed(1)
    values = (2 * torch.randn(5, 3, dtype=torch.float64)).requires_grad_()
    means = torch.randn(2, 5, 3, dtype=torch.float64).requires_grad_()
    log_scales = torch.randn(2, 5, 3, dtype=torch.float64).requires_grad_()
    steps = torch.rand(5, 1, dtype=torch.float64) + 0.5
    assert torch.autograd.gradcheck(
        lambda *parts: _LogisticBits.apply(*parts, steps),  # type: ignore[no-untyped-call]
        (values, means, log_scales),
    )


def test_gradients_reach_the_latents_around_and_all_weights_in_use() -> None:
    network = random_network()
    y = (3 * torch.randn(1, 6, 4, 4)).requires_grad_()
    known = neighbourhoods(y)
    network(known, torch.ones(len(known), 1)).sum().backward()
    assert y.grad is not None and (y.grad != 0).all()
    unused = {name for name, p in network.named_parameters() if p.grad is None}
    assert unused == {"even.2"}  # nothing follows the last group


def test_bits_stay_finite_far_out() -> None:
    values = torch.tensor([[0.0], [3e4], [-3e4]]).requires_grad_()
    means = torch.zeros(2, 3, 1, requires_grad=True)
    log_scales = torch.full((2, 3, 1), -6.0, requires_grad=True)
    bits = _LogisticBits.apply(  # type: ignore[no-untyped-call]
        values, means, log_scales, torch.ones(3, 1)
    )
    assert bits[0, 0] < 1e-6
    expected = (3e4 - 0.5) * math.exp(6) / math.log(2)
    assert bits[0, 1:].detach().numpy() == pytest.approx(expected, rel=1e-5)
    bits.sum().backward()
    for each in (values, means, log_scales):
        assert each.grad is not None and torch.isfinite(each.grad).all()


def test_neighbourhoods_are_in_raster_order_with_zeros_around() -> None:
    y = torch.randn(2, 3, 4, 5)
    found = neighbourhoods(y).reshape(2, 4, 5, 9, 3)
    padded = np.pad(y.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    for n, i, j in np.ndindex(2, 4, 5):
        window = padded[n, :, i : i + 3, j : j + 3].reshape(3, 9).T
        np.testing.assert_array_equal(found[n, i, j], window)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("step", range(3))
def test_integers_cost_what_floats_cost(seed: int, step: int) -> None:
    """With the masses of the logistic as tables, the only loss is rounding."""
    network = random_network(seed, size=0.06)
    cells = np.zeros((SCALES * 5, 512))
    model = counted_model(to_integers(network, STEPS), cells, SMALLEST_LOG_SCALE, SCALES_PER_E)
    values = np.random.default_rng(seed).logistic(0, 1.2, (6, 20, 30))
    symbols = np.rint(values / STEPS[step]).astype(np.int16)
    wanted = fast_bits(network, symbols.astype(np.float64) * STEPS[step], STEPS[step]).sum()
    assert model.ideal_bits(symbols, step) == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_integers_become_a_network_again(seed: int) -> None:
    """It predicts the same up to rounding, and its own integers are nearly the same."""
    network = random_network(seed, size=0.06)
    integers = to_integers(network, STEPS)
    again = from_integers(integers, STEPS)
    for name, tensor in network.state_dict().items():
        if name != "even.2":  # nothing follows the last group
            torch.testing.assert_close(again.state_dict()[name], tensor, rtol=0.02, atol=0.02)
    values = np.random.default_rng(seed).logistic(0, 1.2, (6, 20, 30))
    bits = [fast_bits(each, values, 1.0).sum() for each in (network, again)]
    assert bits[1] == pytest.approx(bits[0], rel=2e-3)
    for name, array in to_integers(again, STEPS).items():
        changed = np.abs(array.astype(np.int64) - integers[name])
        assert changed.max() <= (2 if name == "start" else 1), name


def test_training_continues_packaged_networks(tiny_model: Model) -> None:
    """Their files hold integers only; networks in training tensors precede them."""
    network = random_network(1, (3, 5), 4)
    cells = np.zeros((SCALES * 5, 512))
    integers = to_integers(network, tiny_model.steps)
    coded = counted_model(integers, cells, SMALLEST_LOG_SCALE, SCALES_PER_E)
    models = {**tiny_model.entropy_models}
    models[8] = {**models[8], "context": coded}
    packaged = replace(tiny_model, entropy_models=models)
    assert context_networks(packaged) == {}
    found = networks_to_continue(packaged)
    assert list(found) == [8]
    torch.testing.assert_close(found[8].mix, network.mix, rtol=0.02, atol=0.02)
    trained = replace(packaged, training_tensors=context_tensors({8: network}))
    assert torch.equal(networks_to_continue(trained)[8].mix, network.mix)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [0.01, 1.0, 30.0])
def test_any_weights_become_exact_integers(seed: int, size: float) -> None:
    """Values that violate the bound are refused when the model is made."""
    network = random_network(seed, (1, 3), 5, size)
    cells = np.zeros((SCALES * 5, 512))
    model = counted_model(to_integers(network, STEPS), cells, SMALLEST_LOG_SCALE, SCALES_PER_E)
    symbols = random_symbols(seed, (4, 3, 3))
    data = model.encode(symbols, 1)
    np.testing.assert_array_equal(model.decode(data, (4, 3, 3), 1), symbols)


def test_default_sizes() -> None:
    hidden = {48: 48, 72: 56, 96: 64, 144: 80, 192: 96}
    assert {channels: default_hidden(channels) for channels in hidden} == hidden
    assert default_groups(48) == (2, 3, 5, 7, 12, 19)
    assert default_groups(192) == (6, 9, 14, 19, 29, 38, 39, 38)
    assert default_groups(192, "light") == (8, 11, 19, 29, 48, 77)
    assert (default_hidden(192, "light"), default_hidden(96, "light")) == (80, 64)
    for channels, kind in product(range(1, 300), ARCHITECTURES):
        groups = default_groups(channels, kind)
        assert sum(groups) == channels and min(groups) >= 1


def test_a_new_network_predicts_the_spread_it_was_given() -> None:
    deviation = torch.tensor([0.5, 2.0, 8.0])
    network = ContextNetwork.for_channels(3, deviation)
    means, log_scales = network.predict(torch.zeros(4, 9, 3, 2), torch.zeros(4, 1))
    assert not means.any()
    torch.testing.assert_close(log_scales, torch.log(0.4 * deviation).expand(2, 4, 3))


def test_networks_come_back_from_a_model_file(
    tiny_model: Model, tmp_path_factory: pytest.TempPathFactory
) -> None:
    networks = {8: random_network(1, (3, 5), 4), 4: random_network(2, (4,), 3)}
    path = tmp_path_factory.mktemp("models") / "model.safetensors"
    write_model(path, replace(tiny_model, training_tensors=context_tensors(networks)))
    model = read_model(path)
    again = context_networks(model)
    assert list(again) == [8, 4]
    for width, network in networks.items():
        assert not again[width].training
        assert (again[width].groups, again[width].hidden) == (network.groups, network.hidden)
        for name, tensor in network.state_dict().items():
            assert torch.equal(again[width].state_dict()[name], tensor), name
    assert model.fingerprint(8) == tiny_model.fingerprint(8)  # they do not affect coding
    assert context_networks(tiny_model) == {}


def test_tensors_of_no_network_are_refused(tiny_model: Model) -> None:
    good = context_tensors({8: random_network(1, (3, 5), 4)})

    def refused(tensors: dict[str, NDArray[np.float32]], words: str) -> None:
        with pytest.raises(ModelError, match=words):
            context_networks(replace(tiny_model, training_tensors=tensors))

    for name in good:
        refused({key: array for key, array in good.items() if key != name}, "width 8")
        refused({**good, name: good[name][..., :-1]}, "width 8")
    refused({**good, "context.8.more": np.zeros(3, np.float32)}, "width 8")
    refused({key.replace(".8.", ".4."): array for key, array in good.items()}, "8 channels, not 4")
