import numpy as np
import pytest
import torch
from slow_density import slow_logits, slow_mass, state_of

from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.tables import from_probabilities
from slimcae.networks.bottleneck import EntropyBottleneck


@pytest.fixture
def compressai(golden: dict[str, np.ndarray]) -> EntropyBottleneck:
    """CompressAI's parameters in our module, with medians found by our code."""
    bottleneck = EntropyBottleneck(8)
    state = bottleneck.state_dict()
    for name in state:
        if name != "medians":
            state[name] = torch.from_numpy(golden[f"eb_state.{name}"])
    bottleneck.load_state_dict(state)
    bottleneck.update_medians()
    return bottleneck.eval()


def stretched(factor: float, channels: int = 3) -> EntropyBottleneck:
    """Return a bottleneck whose densities are `factor` times as wide as initially."""
    torch.manual_seed(2)
    bottleneck = EntropyBottleneck(channels)
    with torch.no_grad():
        first = bottleneck.matrices[0]
        slope = torch.nn.functional.softplus(first.double()) / factor
        first.copy_(torch.where(slope > 30, slope, torch.log(torch.expm1(slope))))
    bottleneck.update_medians()
    return bottleneck.eval()


def test_medians_are_those_that_compressai_converged_to(
    compressai: EntropyBottleneck, golden: dict[str, np.ndarray]
) -> None:
    np.testing.assert_allclose(
        compressai.medians, golden["eb_state.quantiles"][:, 0, 1], rtol=1e-5, atol=1e-5
    )


def test_rounding_and_likelihoods_equal_compressai(
    compressai: EntropyBottleneck, golden: dict[str, np.ndarray]
) -> None:
    with torch.no_grad():
        y_hat, likelihoods = compressai(torch.from_numpy(golden["eb_x"]))
    np.testing.assert_allclose(y_hat, golden["eb_y_hat"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(likelihoods, golden["eb_likelihood"], rtol=1e-4)


def test_tables_code_compressais_symbols_as_short_and_exactly(
    compressai: EntropyBottleneck, golden: dict[str, np.ndarray]
) -> None:
    medians = golden["eb_state.quantiles"][:, 0, 1][None, :, None, None]
    symbols = np.rint(golden["eb_y_hat"] - medians).astype(np.int32)
    coder = FactorizedModel(from_probabilities(*compressai.probabilities()), 8)
    for item, theirs in zip(symbols, golden["eb_string_bytes"], strict=True):
        data = coder.encode(item, 0)
        assert len(data) <= 1.01 * theirs + 16
        assert np.array_equal(coder.decode(data, item.shape, 0), item)
    decoded = symbols + medians
    np.testing.assert_allclose(decoded, golden["eb_decompressed"], rtol=1e-5, atol=1e-5)


def test_likelihoods_equal_a_slow_float64_computation(compressai: EntropyBottleneck) -> None:
    y = torch.randn(2, 8, 3, 5) * 30
    found = compressai.likelihood(y).detach().numpy()
    for channel in range(8):
        expected = np.maximum(slow_mass(state_of(compressai), channel, y[:, channel].numpy()), 1e-9)
        np.testing.assert_allclose(found[:, channel].ravel(), expected, rtol=1e-3)


def test_quantiles_solve_the_cumulative(compressai: EntropyBottleneck) -> None:
    for logit in (-14.0, 0.0, 3.0):
        for channel, x in enumerate(compressai.quantile(logit).numpy()):
            found = slow_logits(state_of(compressai), channel, np.array([x]))
            assert found[0] == pytest.approx(logit, abs=1e-9)


def test_a_new_density_has_all_its_mass_and_is_about_ten_wide() -> None:
    torch.manual_seed(0)
    bottleneck = EntropyBottleneck(4)
    y = torch.arange(-500.0, 501.0)[None, None, :, None].expand(1, 4, -1, 1)
    mass = bottleneck.likelihood(y)[0, :, :, 0].double()
    np.testing.assert_allclose(mass.sum(1).detach(), 1, atol=2e-5)
    np.testing.assert_allclose(bottleneck.quantile(1.0) - bottleneck.quantile(0.0), 10, rtol=0.05)


@pytest.mark.parametrize("step", [1.0, 0.5, 1.7])
def test_probabilities_are_the_masses_of_symbols_around_the_medians(
    compressai: EntropyBottleneck, step: float
) -> None:
    first, masses = compressai.probabilities(step)
    medians = compressai.medians.double().numpy()
    for channel, mass in enumerate(masses):
        symbols = first[channel] + np.arange(len(mass))
        values = medians[channel] + step * symbols
        expected = slow_mass(state_of(compressai), channel, values, step)
        np.testing.assert_allclose(mass, expected, rtol=1e-9, atol=1e-15)
        assert first[channel] <= 0 <= symbols[-1]
        assert 0 <= 1 - mass.sum() < 2.0**-15  # at most 2⁻¹⁷ remains at each end


def test_training_adds_uniform_noise_of_the_rounding_step() -> None:
    torch.manual_seed(0)
    bottleneck = EntropyBottleneck(2).train()
    y = torch.randn(4, 2, 50, 50)
    noise = (bottleneck(y)[0] - y).detach()
    assert noise.min() >= -0.5 - 1e-6
    assert noise.max() <= 0.5 + 1e-6
    assert noise.var().item() == pytest.approx(1 / 12, rel=0.03)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)


def test_mixed_quantization_rounds_for_the_synthesis_and_rates_noise() -> None:
    bottleneck = stretched(1.0).train()
    bottleneck.medians.copy_(torch.tensor([0.25, -0.5, 0.1]))
    bottleneck.straight_through = True
    y = (4 * torch.randn(2, 3, 5, 5)).requires_grad_()
    torch.manual_seed(8)
    y_hat, likelihoods = bottleneck(y)
    medians = np.array([0.25, -0.5, 0.1])[:, None, None]
    rounded = np.rint(y.detach().numpy() - medians) + medians
    np.testing.assert_allclose(y_hat.detach(), rounded, atol=1e-5)
    towards = torch.randn(y.shape)
    (gradient,) = torch.autograd.grad(y_hat, y, towards)
    assert torch.equal(gradient, towards)
    # the rate is that of noise
    bottleneck.straight_through = False
    torch.manual_seed(8)
    noisy, expected = bottleneck(y)
    assert torch.equal(likelihoods, expected)
    assert not torch.allclose(noisy, y_hat)
    assert torch.equal(bottleneck.eval()(y)[0], bottleneck.quantize(y))


def test_evaluation_rounds_to_medians_plus_whole_numbers() -> None:
    bottleneck = EntropyBottleneck(2).eval()
    bottleneck.medians.copy_(torch.tensor([0.25, -3.4]))
    y = torch.tensor([0.9, -3.3]).reshape(1, 2, 1, 1)
    torch.testing.assert_close(bottleneck(y)[0].flatten(), torch.tensor([1.25, -3.4]))


def test_the_rate_pulls_latents_and_density_together() -> None:
    """The gradient of −log2 likelihood against finite differences in float64."""
    torch.manual_seed(3)
    bottleneck = EntropyBottleneck(1)
    y = torch.tensor([-20.0, -0.3, 7.0, 31.0]).reshape(1, 1, 4, 1).requires_grad_()
    torch.autograd.backward(-torch.log2(bottleneck.likelihood(y)).sum())
    state, x = state_of(bottleneck), y.detach().numpy().ravel().astype(np.float64)
    bits = [-np.log2(slow_mass(state, 0, x + side)) for side in (-1e-4, 1e-4)]
    assert y.grad is not None
    np.testing.assert_allclose(y.grad.flatten(), (bits[1] - bits[0]) / 2e-4, rtol=2e-3, atol=1e-5)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in bottleneck.parameters())


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1.0, 300.0, 1e5, 1e9])
def test_degenerate_densities_stay_finite_and_can_be_coded_with(factor: float) -> None:
    bottleneck = stretched(factor)
    y = torch.tensor([-1e30, -1e6, -300.0, -0.5, 0.0, 2.0, 1e4, 1e30])
    y = y.reshape(1, 1, -1, 1).repeat(1, 3, 1, 1).requires_grad_()
    likelihoods = bottleneck.likelihood(y)
    assert (likelihoods >= 1e-9).all()
    assert (likelihoods <= 1 + 1e-6).all()
    torch.autograd.backward(torch.log2(likelihoods).sum())
    assert y.grad is not None
    assert torch.isfinite(y.grad).all()
    assert torch.isfinite(bottleneck.medians).all()
    coder = FactorizedModel(from_probabilities(*bottleneck.probabilities()), 3)
    symbols = np.array([-32767, -300, -1, 0, 0, 1, 2, 500, 32767], np.int32)
    symbols = np.tile(symbols, (3, 1)).reshape(3, 3, 3)
    assert np.array_equal(coder.decode(coder.encode(symbols, 0), (3, 3, 3), 0), symbols)


def test_a_density_far_from_zero_keeps_short_tables() -> None:
    torch.manual_seed(0)
    bottleneck = EntropyBottleneck(2)
    width = [len(mass) for mass in bottleneck.probabilities()[1]]
    with torch.no_grad():
        bottleneck.biases[0] -= torch.nn.functional.softplus(bottleneck.matrices[0]) * 5000
    bottleneck.update_medians()
    np.testing.assert_allclose(bottleneck.medians, 5000, atol=20)
    first, masses = bottleneck.probabilities()
    assert [len(mass) for mass in masses] == pytest.approx(width, abs=3)
    assert (np.abs(first) < 200).all()


def test_likelihoods_are_float32_also_under_autocast() -> None:
    torch.manual_seed(0)
    bottleneck = EntropyBottleneck(3).eval()
    y = torch.randn(1, 3, 4, 4) * 5
    plain = bottleneck(y)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = bottleneck(y)
    for a, b in zip(plain, mixed, strict=True):
        assert b.dtype == torch.float32
        assert torch.equal(a, b)
