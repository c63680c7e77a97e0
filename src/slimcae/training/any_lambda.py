"""Operating points of a modulated model at λ between the trained ones."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from slimcae.errors import ConfigError
from slimcae.model.model import Model
from slimcae.networks.conversion import to_model, to_network
from slimcae.networks.modulated import ModulatedAutoencoder
from slimcae.training.data import TrainingImages
from slimcae.training.warm_start import fit_entropy_models

CROPS, SIDE = 64, 256
"""Number of training crops to whose latents the densities of new points are fitted."""


def at_lambda(model: Model, lmbda: Sequence[float], paths: Sequence[Path], seed: int = 0) -> Model:
    """Return a modulated model with the same transforms and points at other λ.

    The factors are functions of λ. Each density starts as that of the nearest trained λ and is
    fitted to latents of training images, unless λ is a trained one.

    Raises:
        ConfigError: The method is not `modulated`, or λ do not decrease or are beyond the trained
            ones.
        ModelError: The model does not have the functions from λ to factors.
        TrainingError: There is no usable image.
    """
    if model.config.method != "modulated":
        raise ConfigError(
            f"lmbda: only a modulated model has operating points at any λ, not one of method "
            f"{model.config.method}"
        )
    network = to_network(model)
    assert isinstance(network, ModulatedAutoencoder)
    other = network.at(lmbda)
    between = [p for p, each in zip(other.points, lmbda, strict=True) if each not in network.lmbda]
    if between:
        images = TrainingImages(paths, torch.device("cpu"), num_workers=0)
        x = images.sample(SIDE, CROPS, seed).float() / 255
        fit_entropy_models(other, x, seed, between)
    info = replace(model.info, lmbda=tuple(lmbda), quality=None)
    return to_model(other, info, steps=model.steps)
