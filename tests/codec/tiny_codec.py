"""A tiny model that codes well enough to tell a picture from noise."""

import torch

from conftest import smooth_pixels
from slimcae.model.config import SlimCAEConfig
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.warm_start import fit_entropy_models, warm_start_transforms

WIDTHS = (12, 8, 4)
LMBDA = (2000.0, 1000.0, 500.0)


def make_model(seed: int) -> SlimCAE:
    torch.manual_seed(seed)
    model = SlimCAE(SlimCAEConfig(WIDTHS))
    x = torch.stack([torch.from_numpy(smooth_pixels(64, 64, k)).permute(2, 0, 1) for k in range(4)])
    warm_start_transforms(model, x.float() / 255, LMBDA)
    fit_entropy_models(model, x.float() / 255, seed)
    return model
