import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from slimcae.model.config import GDN_VARIANTS, GDNVariant
from slimcae.networks.bounds import from_stored, lower_bound, to_stored
from slimcae.networks.gdn import SlimmableGDN, gdn

WIDTHS = (5, 3, 2)


def slow_gdn(x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool) -> Tensor:
    """Compute the equation, number by number."""
    y = torch.empty_like(x)
    n, c, h, w = x.shape
    for b in range(n):
        for row in range(h):
            for column in range(w):
                v = [float(value) for value in x[b, :, row, column]]
                for i in range(c):
                    norm = math.sqrt(
                        float(beta[i]) + sum(float(gamma[i, j]) * v[j] ** 2 for j in range(c))
                    )
                    y[b, i, row, column] = v[i] * norm if inverse else v[i] / norm
    return y


def randomized(variant: GDNVariant, inverse: bool = False) -> SlimmableGDN:
    torch.manual_seed(1)
    layer = SlimmableGDN(WIDTHS, variant, inverse)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.rand_like(parameter) + 0.05)
    return layer


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("variant", GDN_VARIANTS)
@pytest.mark.parametrize("width", WIDTHS)
def test_equals_a_slow_loop(variant: GDNVariant, width: int, inverse: bool) -> None:
    layer = randomized(variant, inverse)
    x = torch.randn(2, width, 3, 2) * 3
    beta, gamma = layer.effective(width)
    expected = slow_gdn(x, beta.detach(), gamma.detach(), inverse)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["gdn", "igdn"])
def test_equals_compressai(golden: dict[str, np.ndarray], kind: str) -> None:
    layer = SlimmableGDN((8,), "switchable", inverse=kind == "igdn")
    layer.load_state_dict(
        {
            f"norms.8.{name}": torch.from_numpy(golden[f"{kind}_{name}"])
            for name in ("beta", "gamma")
        }
    )
    beta, gamma = layer.effective(8)
    np.testing.assert_allclose(beta.detach(), golden[f"{kind}_effective_beta"], atol=1e-6)
    np.testing.assert_allclose(gamma.detach(), golden[f"{kind}_effective_gamma"], atol=1e-6)
    y = layer(torch.from_numpy(golden[f"{kind}_x"])).detach()
    np.testing.assert_allclose(y, golden[f"{kind}_y"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", WIDTHS)
def test_switchable_has_a_norm_of_its_own_per_width(width: int) -> None:
    layer = randomized("switchable")
    beta, gamma = layer.effective(width)
    state = layer.state_dict()
    torch.testing.assert_close(beta, state[f"norms.{width}.beta"] ** 2 - 2**-36)
    torch.testing.assert_close(gamma, state[f"norms.{width}.gamma"] ** 2 - 2**-36)


@pytest.mark.parametrize("width", WIDTHS)
def test_slim_slices_the_widest(width: int) -> None:
    layer = randomized("slim")
    beta, gamma = layer.effective(width)
    state = layer.state_dict()
    assert set(state) == {"norms.5.beta", "norms.5.gamma"}
    torch.testing.assert_close(beta, (state["norms.5.beta"] ** 2 - 2**-36)[:width])
    torch.testing.assert_close(gamma, (state["norms.5.gamma"] ** 2 - 2**-36)[:width, :width])


@pytest.mark.parametrize(("k", "width"), list(enumerate(WIDTHS)))
def test_slim_plus_scales_and_shifts_the_slice(k: int, width: int) -> None:
    layer = randomized("slim+")
    beta, gamma = layer.effective(width)
    s = {name: value**2 - 2**-36 for name, value in layer.state_dict().items()}
    expected_beta = s["beta_scale"][k] * s["norms.5.beta"][:width] + s["beta_bias"][k]
    expected_gamma = s["gamma_scale"][k] * s["norms.5.gamma"][:width, :width] + s["gamma_bias"][k]
    torch.testing.assert_close(beta, expected_beta)
    torch.testing.assert_close(gamma, expected_gamma)


@pytest.mark.parametrize("variant", GDN_VARIANTS)
def test_begins_as_the_authors_did(variant: GDNVariant) -> None:
    beta, gamma = SlimmableGDN(WIDTHS, variant).effective(3)
    torch.testing.assert_close(beta, torch.ones(3))
    torch.testing.assert_close(gamma, 0.1 * torch.eye(3))


@pytest.mark.parametrize("variant", GDN_VARIANTS)
def test_stays_finite_when_training_drives_every_parameter_to_its_bound(
    variant: GDNVariant,
) -> None:
    layer = SlimmableGDN(WIDTHS, variant)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(-1.0)
    x = torch.tensor([0.0, 1e-4, 3.0]).reshape(1, 3, 1, 1).requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_autocast_does_not_touch_evaluation() -> None:
    layer = randomized("switchable").eval()
    x = torch.randn(1, 5, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    assert torch.equal(y, layer(x))
    big = torch.full((1, 1, 1, 1), 300.0, dtype=torch.float16)  # 300² is infinite in float16
    out = gdn(big, torch.ones(1), torch.ones(1, 1), inverse=False)
    torch.testing.assert_close(out.item(), 300 / math.sqrt(1 + 300**2))


@pytest.mark.parametrize("inverse", [False, True])
def test_training_under_autocast_sums_squares_in_bfloat16(inverse: bool) -> None:
    layer = randomized("switchable", inverse)
    # squares beyond float16's range, and a value that bfloat16 alone would round
    x = torch.cat([torch.randn(2, 5, 8, 8), 300 + torch.rand(2, 5, 8, 8)]).requires_grad_()
    found = {}
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = layer(x)
        gradients = torch.autograd.grad(y.square().mean(), [x, *layer.norms["5"].parameters()])
        found[enabled] = [y.detach(), *gradients]
    assert found[True][0].dtype == torch.float32
    assert not torch.equal(found[True][0], found[False][0])
    for half, full in zip(found[True], found[False], strict=True):
        # rounding errors are up to 2⁻⁹; gradients are differences
        assert (half - full).norm() < 2**-7 * full.norm()


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("variant", GDN_VARIANTS)
def test_training_leaves_bfloat16_in_bfloat16(variant: GDNVariant, inverse: bool) -> None:
    """Autograd through the equation in float64 is the oracle."""
    layer = randomized(variant, inverse)
    parameters = list(layer.parameters())
    x = torch.cat([torch.randn(2, 5, 8, 8), 300 + torch.rand(2, 5, 8, 8)]).bfloat16()
    given = x.clone().requires_grad_()
    towards = torch.rand(x.shape) * x.sign()  # sums over pixels do not cancel
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(given)
    found = torch.autograd.grad(y, [given, *parameters], towards.bfloat16(), allow_unused=True)
    exact = x.double().requires_grad_()
    beta, gamma = (value.double() for value in layer.effective(5))
    norm = beta[:, None, None] + torch.einsum("ij,njhw->nihw", gamma, exact**2)
    expected_y = exact * norm.sqrt() if inverse else exact / norm.sqrt()
    expected = torch.autograd.grad(
        expected_y, [exact, *parameters], towards.double(), allow_unused=True
    )
    assert y.dtype == found[0].dtype == torch.bfloat16
    assert [g is None for g in found] == [g is None for g in expected]  # norms of other widths
    found_values = [y.detach(), *(g for g in found if g is not None)]
    expected_values = [expected_y.detach(), *(g for g in expected if g is not None)]
    for half, full in zip(found_values, expected_values, strict=True):
        # rounding errors are up to 2⁻⁹ several times; gradients are differences
        assert (half.double() - full).norm() < 2**-6 * full.norm()


def test_inverse_undoes_on_what_it_normalizes_by() -> None:
    """IGDN of GDN is the identity if γ is 0, whatever β is."""
    beta, gamma = torch.tensor([0.5, 4.0]), torch.zeros(2, 2)
    x = torch.randn(1, 2, 3, 3)
    torch.testing.assert_close(gdn(gdn(x, beta, gamma, False), beta, gamma, True), x)


@pytest.mark.parametrize(
    ("x", "gradient", "passed"),
    [(2.0, 1.0, 1.0), (2.0, -1.0, -1.0), (0.5, 1.0, 0.0), (0.5, -1.0, -1.0), (1.0, 1.0, 1.0)],
)
def test_lower_bound_lets_only_rising_gradients_pass_below(
    x: float, gradient: float, passed: float
) -> None:
    value = torch.tensor(x, requires_grad=True)
    bounded = lower_bound(value, 1.0)
    assert bounded.item() == max(x, 1.0)
    torch.autograd.backward(bounded, torch.tensor(gradient))
    assert value.grad is not None
    assert value.grad.item() == passed


def test_storage_is_the_square_root_and_never_negative() -> None:
    values = torch.tensor([0.0, 1e-12, 1e-6, 0.1, 1.0, 500.0])
    torch.testing.assert_close(from_stored(to_stored(values)), values, rtol=1e-6, atol=1e-12)
    stored = torch.linspace(-2, 2, 4001)
    effective = from_stored(stored)
    assert (effective >= 0).all()
    assert all(a <= b for a, b in pairwise(effective.tolist()))
    assert from_stored(stored, 1e-6).min().item() == pytest.approx(1e-6, rel=1e-4)
