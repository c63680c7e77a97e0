"""Test networks to models and back: every number is kept, and tables match the densities."""

from pathlib import Path

import numpy as np
import pytest
import torch
from slow_density import slow_mass, state_of

import slimcae
from slimcae.coding.tables import TOTAL
from slimcae.model.config import DEFAULT_STEPS, GDN_VARIANTS, GDNVariant, ModelInfo, SlimCAEConfig
from slimcae.model.file import halved, read_model, write_model
from slimcae.networks.bottleneck import EntropyBottleneck
from slimcae.networks.conversion import (
    factorized_model,
    load_network,
    save_network,
    to_model,
    to_network,
)
from slimcae.networks.slimcae import SlimCAE

INFO = ModelInfo("tiny", "7", (10.5, 0.1, 3e-5), {"step": 7})


def random_network(variant: GDNVariant = "switchable") -> SlimCAE:
    torch.manual_seed(5)
    network = SlimCAE(SlimCAEConfig((6, 3, 2), variant))
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.rand_like(p))
    return network


@pytest.mark.parametrize("variant", GDN_VARIANTS)
def test_every_number_stays(variant: GDNVariant) -> None:
    network = random_network(variant)
    again = to_network(to_model(network))
    assert again.config == network.config
    assert not again.training
    state, expected = again.state_dict(), network.state_dict()
    assert list(state) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for width in (6, 3, 2):
            found, wanted = again(x, width), network.eval()(x, width)
            assert torch.equal(found["x_hat"], wanted["x_hat"])
            assert torch.equal(found["likelihoods"], wanted["likelihoods"])


def test_a_model_takes_what_is_given_or_the_defaults() -> None:
    network = random_network()
    model = to_model(network)
    assert (model.config, model.info, model.steps) == (network.config, ModelInfo(), DEFAULT_STEPS)
    model = to_model(network, INFO, steps=(1.0, 0.5))
    assert (model.info, model.steps) == (INFO, (1.0, 0.5))
    assert all(model.entropy_model(width).num_steps == 2 for width in model.widths)


def test_a_model_has_the_medians_of_the_present_densities() -> None:
    network = random_network()
    stale = [network.entropy_bottleneck(width).medians.clone() for width in network.widths]
    model = to_model(network, steps=(1.0,))
    for width, before in zip(model.widths, stale, strict=True):
        medians = model.medians(width)
        np.testing.assert_array_equal(medians, network.entropy_bottleneck(width).medians)
        assert not np.array_equal(medians, before)


def test_neither_follows_changes_of_the_other() -> None:
    network = random_network()
    model = to_model(network, steps=(1.0,))
    kept = {name: tensor.copy() for name, tensor in model.tensors.items()}
    again = to_network(model)
    with torch.no_grad():
        for each in (network, again):
            for tensor in each.state_dict().values():
                tensor.add_(1)
    for name, tensor in model.tensors.items():
        np.testing.assert_array_equal(tensor, kept[name])


def test_a_network_of_a_model_can_be_trained_on() -> None:
    network = to_network(to_model(random_network(), steps=(1.0,)))
    out = network.train()(torch.rand(1, 3, 32, 32), 3)
    (out["x_hat"].sum() - out["likelihoods"].log().sum()).backward()
    assert all(p.requires_grad for p in network.parameters())
    assert network.g_a.conv1.weight.grad is not None
    assert network.entropy_bottleneck(3).matrices[0].grad is not None
    assert not network.entropy_bottleneck(3).medians.requires_grad


def stretched(channels: int, factor: float) -> EntropyBottleneck:
    """Return densities that are `factor` times as wide as initially, with other medians."""
    torch.manual_seed(2)
    bottleneck = EntropyBottleneck(channels)
    with torch.no_grad():
        first = bottleneck.matrices[0]
        slope = torch.nn.functional.softplus(first) / factor
        first.copy_(torch.log(torch.expm1(slope)))
        bottleneck.biases[0].add_(torch.randn_like(bottleneck.biases[0]))
    bottleneck.update_medians()
    return bottleneck


@pytest.mark.parametrize("factor", [0.1, 1.0, 6.0])
def test_factorized_tables_code_what_the_density_says(factor: float) -> None:
    """Each channel and step has its own table: the masses of the density in 24 bits."""
    steps = (1.0, 0.48, 2.5)
    bottleneck = stretched(4, factor)
    model = factorized_model(bottleneck, steps)
    assert (model.num_channels, model.num_steps) == (4, 3)
    medians = bottleneck.medians.double().numpy()
    for step, delta in enumerate(steps):
        for channel in range(4):
            table = 4 * step + channel
            counts = model.tables.of(table)
            symbols = model.tables.minimum[table] + np.arange(len(counts) - 1)
            values = medians[channel] + delta * symbols
            masses = slow_mass(state_of(bottleneck), channel, values, delta)
            # every entry has one count first, and the rest is distributed
            np.testing.assert_allclose(counts[:-1] / TOTAL, masses, atol=(len(counts) + 1) / TOTAL)
            assert counts[-1] / TOTAL < 2.0**-15


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_stream_is_as_long_as_the_density_says(step: int) -> None:
    steps = (1.0, 0.48, 2.5)
    bottleneck = stretched(3, 2.0)
    model = factorized_model(bottleneck, steps)
    rng = np.random.default_rng(step)
    medians = bottleneck.medians.double().numpy()[:, None, None]
    symbols = np.rint(rng.normal(0, 8 / steps[step], (3, 40, 50))).astype(np.int16)
    values = medians + steps[step] * symbols
    masses = [slow_mass(state_of(bottleneck), c, values[c].ravel(), steps[step]) for c in range(3)]
    bits = -np.log2(np.concatenate(masses)).sum()
    data = model.encode(symbols, step)
    np.testing.assert_array_equal(model.decode(data, symbols.shape, step), symbols)
    assert 8 * len(data) == pytest.approx(bits, rel=2e-3, abs=64)
    assert model.ideal_bits(symbols, step) == pytest.approx(bits, rel=2e-3)


@pytest.mark.parametrize("half", [False, True])
def test_a_saved_network_is_the_file_of_its_model(tmp_path: Path, half: bool) -> None:
    network = random_network()
    model = to_model(network, INFO)
    write_model(tmp_path / "model", halved(model) if half else model, half=half)
    save_network(tmp_path / "network", network, INFO, half=half)
    assert (tmp_path / "network").read_bytes() == (tmp_path / "model").read_bytes()
    loaded = load_network(tmp_path / "network")
    for name, tensor in read_model(tmp_path / "network").tensors.items():
        assert torch.equal(loaded.state_dict()[name], torch.from_numpy(tensor))


def test_networks_come_from_run_folders_and_paths_as_text(tmp_path: Path) -> None:
    """`slimcae.load_model` is public, and people pass paths as text."""
    network = random_network()
    save_network(tmp_path / "model.safetensors", network, INFO)
    for path in (tmp_path, str(tmp_path), str(tmp_path / "model.safetensors")):
        loaded = slimcae.load_model(path)
        assert torch.equal(loaded.g_a.conv1.weight, network.g_a.conv1.weight)


def test_loading_builds_no_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_network(tmp_path / "model", random_network(), INFO)

    def forbidden(*_: object) -> None:
        raise AssertionError("tables were computed while loading")

    for owner, name in (
        (SlimCAE, "update"),
        (EntropyBottleneck, "probabilities"),
        (EntropyBottleneck, "quantile"),
        (EntropyBottleneck, "update_medians"),
    ):
        monkeypatch.setattr(owner, name, forbidden)
    assert load_network(tmp_path / "model").widths == (6, 3, 2)


def test_a_network_of_a_model_makes_the_same_model_again() -> None:
    model = to_model(random_network(), steps=(1.0,))
    again = to_model(to_network(model), steps=(1.0,))
    for width in model.widths:
        ours, theirs = (each.entropy_model(width).to_arrays() for each in (model, again))
        np.testing.assert_array_equal(ours["counts"], theirs["counts"])
        assert model.fingerprint(width) == again.fingerprint(width)
