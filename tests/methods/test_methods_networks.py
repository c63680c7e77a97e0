from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from conftest import smooth_pixels
from method_networks import LMBDA, OTHERS, make
from slimcae.errors import ConfigError, ModelError
from slimcae.model.config import METHODS, Method, ModelInfo, SlimCAEConfig
from slimcae.model.file import read_model, write_model
from slimcae.networks.autoencoder import Autoencoder
from slimcae.networks.bottleneck_scaling import ScaledBottleneck
from slimcae.networks.conversion import to_model, to_network
from slimcae.networks.independent import IndependentModels
from slimcae.networks.methods import new_network
from slimcae.networks.modulated import ModulatedAutoencoder
from slimcae.networks.slimcae import SlimCAE


def images(seed: int = 0) -> Tensor:
    return torch.from_numpy(smooth_pixels(48, 64, seed)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("method", METHODS)
def test_a_file_gives_back_the_network(method: Method, tmp_path: Path) -> None:
    network, path = make(method), tmp_path / "model.safetensors"
    write_model(path, to_model(network, ModelInfo(lmbda=LMBDA)))
    again = to_network(read_model(path))
    assert type(again) is type(network)
    assert again.state_dict().keys() == network.state_dict().keys()
    with torch.no_grad():
        for point in network.points:
            for key, value in network(images(), point).items():
                assert torch.equal(again(images(), point)[key], value), key


@pytest.mark.parametrize("method", METHODS)
def test_training_reaches_all_that_a_method_trains(method: Method) -> None:
    network = make(method).train()
    network.freeze()
    for point in network.trained_points:
        out = network(images(), point)
        loss = out["x_hat"].square().mean() - torch.log2(out["likelihoods"]).sum()
        torch.autograd.backward(loss)
    for name, parameter in network.named_parameters():
        expected = method != "bottleneck_scaling" or name == "log_scales"
        assert (parameter.grad is not None) == expected, name


def test_independent_models_are_networks_of_their_own() -> None:
    network = make("independent")
    assert isinstance(network, IndependentModels)
    for pair, (point,) in network.pairs:
        alone = SlimCAE(network.config.transforms_of(point)).eval()
        state = pair.state_dict()
        alone.load_state_dict(state, strict=False)
        width = network.config.filters(point)
        density = network.entropy_bottleneck(point)
        alone.entropy_bottleneck(width).load_state_dict(density.state_dict())
        with torch.no_grad():
            expected = alone(images(), width)
            for key, value in network(images(), point).items():
                assert torch.equal(value, expected[key])


def test_a_modulated_network_is_what_its_definition_says() -> None:
    """Yang et al. 2020: conv, · m, GDN; IGDN, · d, deconv; m and d are exp of a network of λ."""
    network = make("modulated")
    assert isinstance(network, ModulatedAutoencoder)
    state = network.state_dict()
    for point, lmbda in zip(network.points, LMBDA, strict=True):

        def factor(layer: str, lmbda: float = lmbda) -> Tensor:
            first, second = (f"modulators.{layer}.{k}" for k in (0, 2))
            hidden = state[f"{first}.weight"][:, 0] * (lmbda / LMBDA[0]) + state[f"{first}.bias"]
            out = state[f"{second}.weight"] @ hidden.clamp_min(0) + state[f"{second}.bias"]
            factors: Tensor = out.exp()[:, None, None]
            return factors

        with torch.no_grad():
            x = images()
            for k, (stride, padding) in enumerate([(4, 4), (2, 2), (2, 2)], 1):
                bias = state.get(f"g_a.conv{k}.bias")
                x = F.conv2d(x, state[f"g_a.conv{k}.weight"], bias, stride, padding)
                x = network.g_a.get_submodule(f"gdn{k}")(x * factor(f"g_a_conv{k}"))
            out = network(images(), point)
            torch.testing.assert_close(out["y"], x, rtol=1e-4, atol=1e-5)
            x = out["y_hat"]
            for k, (stride, padding) in enumerate([(2, 2), (2, 2), (4, 4)], 1):
                x = network.g_s.get_submodule(f"igdn{k}")(x) * factor(f"g_s_deconv{k}")
                weight, bias = (state[f"g_s.deconv{k}.{part}"] for part in ("weight", "bias"))
                x = F.conv_transpose2d(x, weight, bias, stride, padding, stride - 1)
            torch.testing.assert_close(out["x_hat"], x, rtol=1e-4, atol=1e-4)


def test_modulation_begins_near_one_and_is_a_function_of_lambda() -> None:
    torch.manual_seed(0)
    network = new_network(SlimCAEConfig((12,) * 3, method="modulated"), LMBDA)
    assert isinstance(network, ModulatedAutoencoder)
    logs = network.log_factors(torch.tensor(LMBDA))
    assert len(logs) == 6
    for rows in logs.values():
        assert rows.shape == (3, 12)
        assert 0 < rows.abs().max() < 1.5
        assert not torch.equal(rows[0], rows[1])


def test_a_scaled_bottleneck_multiplies_rounds_and_divides() -> None:
    """Theis et al. 2017, section 3.3: round(f(x) s) / s, around the centres of rounding."""
    network = make("bottleneck_scaling")
    assert isinstance(network, ScaledBottleneck)
    for point in network.points:
        s = network.log_scale(point).exp()[None, :, None, None]
        m = network.entropy_bottleneck(network.points[0]).medians[None, :, None, None]
        with torch.no_grad():
            out = network(images(), point)
            y = network.g_a(images(), 12)
            y_hat = torch.round((y - m) * s) / s + m
            torch.testing.assert_close(out["y_hat"], y_hat)
            torch.testing.assert_close(out["x_hat"], network.g_s(y_hat, 12), rtol=1e-3, atol=1e-3)
            # the density of the point, which files have, is that of the values y s
            density = network.entropy_bottleneck(point)
            likelihoods = density.likelihood(y_hat * s)
            torch.testing.assert_close(out["likelihoods"], likelihoods, rtol=2e-3, atol=1e-6)
            torch.testing.assert_close(density.medians, (m * s).flatten(), rtol=1e-4, atol=1e-5)
    assert not network.log_scale(network.points[0]).any()


def test_a_bottleneck_to_scale_begins_with_a_trained_network() -> None:
    origin = make("independent")
    model = to_model(origin, ModelInfo(lmbda=LMBDA))
    config = SlimCAEConfig((12, 12), method="bottleneck_scaling")
    network = new_network(config, (400.0, 100.0))
    assert isinstance(network, ScaledBottleneck)
    network.begin_with(model.alone(model.points[0]))
    network.eval().update()
    with torch.no_grad():
        for key, value in origin(images(), origin.points[0]).items():
            assert torch.equal(network(images(), 2)[key], value)
    assert torch.allclose(network.log_scale(1).exp(), torch.tensor(0.5))  # √(λ / λ_best)


def test_a_modulated_network_has_any_lambda_between() -> None:
    network = make("modulated")
    assert isinstance(network, ModulatedAutoencoder)
    other = network.at([400.0, 150.0])
    with torch.no_grad():
        assert torch.equal(other(images(), 2)["x_hat"], network(images(), 3)["x_hat"])
        y = other.analyse(images(), 1)
        known = [network.analyse(images(), point) for point in (2, 1)]  # of λ 200 and 90
    assert all((y - each).abs().max() > 0.01 for each in known)
    nearest = network.entropy_bottleneck(2).state_dict()
    for name, tensor in other.entropy_bottleneck(1).state_dict().items():
        assert torch.equal(tensor, nearest[name])
    for wrong in ([500.0, 100.0], [100.0, 50.0], [100.0, 200.0], []):
        with pytest.raises(ConfigError, match="decreasing values from 400 to 90"):
            network.at(wrong)


def test_a_modulated_model_without_its_networks_cannot_train() -> None:
    model = to_model(make("modulated"), ModelInfo(lmbda=LMBDA))
    stripped = to_model(make("modulated"), ModelInfo(lmbda=LMBDA)).training_tensors
    assert len(stripped) == 25
    with pytest.raises(ModelError, match=r"modulation.*which training needs"):
        from dataclasses import replace

        to_network(replace(model, training_tensors={}))
    with pytest.raises(ModelError, match="needs the λ"):
        to_network(to_model(make("modulated")))


@pytest.mark.parametrize("method", OTHERS)
def test_points_are_numbered_from_the_best_down(method: Method) -> None:
    network: Autoencoder = make(method)
    assert network.points == (3, 2, 1)
    with pytest.raises(ConfigError, match="operating point 12: choose from 3, 2, 1"):
        network.entropy_bottleneck(12)


def test_estimates_do_not_depend_on_other_points() -> None:
    """Points of independent models do not affect each other, including densities."""
    network = make("independent")
    with torch.no_grad():
        before = [network(images(), point)["x_hat"] for point in (3, 1)]
        for parameter in network.pairs[1][0].parameters():
            parameter.add_(1)
        after = [network(images(), point)["x_hat"] for point in (3, 1)]
    assert all(map(torch.equal, before, after))
    assert np.isfinite(after[0].numpy()).all()
