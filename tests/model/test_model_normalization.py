"""Test β and γ of a model against those that the networks compute, bit for bit."""

import numpy as np
import pytest
import torch

from slimcae.model.config import GDN_VARIANTS, GDNVariant, SlimCAEConfig
from slimcae.model.normalization import effective
from slimcae.networks.conversion import to_model
from slimcae.networks.gdn import SlimmableGDN
from slimcae.networks.slimcae import SlimCAE

WIDTHS = (12, 8, 3)


def wild_network(variant: GDNVariant) -> SlimCAE:
    """Return a network whose roots are large, small, negative and zero."""
    torch.manual_seed(2)
    network = SlimCAE(SlimCAEConfig(WIDTHS, variant))
    with torch.no_grad():
        for name, p in network.named_parameters():
            if "gdn" in name:
                p.copy_(torch.randn_like(p) * 10 ** torch.empty_like(p).uniform_(-7, 3))
                p.view(-1)[0] = 0.0
    return network


@pytest.mark.parametrize("variant", GDN_VARIANTS)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_numbers_are_those_of_the_network(variant: GDNVariant, width: int) -> None:
    network = wild_network(variant)
    model = to_model(network, steps=(1.0,))
    names = [n for n, layer in network.named_modules() if isinstance(layer, SlimmableGDN)]
    assert len(names) == 6
    for name in names:
        layer = network.get_submodule(name)
        assert isinstance(layer, SlimmableGDN)
        found = model.normalization(name, width)
        for ours, theirs in zip(found, layer.effective(width), strict=True):
            assert ours.dtype == np.float32
            np.testing.assert_array_equal(ours, theirs.detach().numpy())


@pytest.mark.parametrize("variant", GDN_VARIANTS)
def test_numbers_at_their_bounds_stay_positive(variant: GDNVariant) -> None:
    """Training may drive every root below its bound; β must not become zero."""
    stored = {"beta": np.full(3, -1, np.float32), "gamma": np.full((3, 3), -1, np.float32)}
    if variant == "slim+":
        keys = ("beta_scale", "beta_bias", "gamma_scale", "gamma_bias")
        stored |= {key: np.float32(-1) * np.ones((), np.float32) for key in keys}
    beta, gamma = effective(stored)
    np.testing.assert_allclose(beta, 1e-6, rtol=1e-4)
    np.testing.assert_allclose(gamma, 0, atol=1e-11)
    assert (gamma >= 0).all()
