"""A tiny network, and its model, that code well enough to tell a picture from noise."""

import copy
from functools import cache

import torch

from conftest import smooth_pixels
from slimcae.model.config import ArchitectureName, ModelInfo, SlimCAEConfig
from slimcae.model.model import Model
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.warm_start import fit_entropy_models, warm_start_transforms

WIDTHS = (12, 8, 4)
LMBDA = (2000.0, 1000.0, 500.0)


def make_network(seed: int, architecture: ArchitectureName = "slimcae") -> SlimCAE:
    """Return what training would give: the network, whose weights a test may still change."""
    return copy.deepcopy(_trained(seed, architecture))


@cache  # takes seconds, and most files of tests want it
def _trained(seed: int, architecture: ArchitectureName) -> SlimCAE:
    torch.manual_seed(seed)
    network = SlimCAE(SlimCAEConfig(WIDTHS, architecture=architecture))
    x = torch.stack([torch.from_numpy(smooth_pixels(64, 64, k)).permute(2, 0, 1) for k in range(4)])
    warm_start_transforms(network, x.float() / 255, LMBDA)
    fit_entropy_models(network, x.float() / 255, seed)
    return network


def make_model(
    seed: int, info: ModelInfo | None = None, architecture: ArchitectureName = "slimcae"
) -> Model:
    """Return the model of that network: what a codec takes, and what files hold."""
    return to_model(make_network(seed, architecture), info)
