"""Operating points of a modulated model at λ between those that it was trained with."""

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
"""Training crops whose latents the densities of new points are fitted to."""


def at_lambda(model: Model, lmbda: Sequence[float], paths: Sequence[Path], seed: int = 0) -> Model:
    """Return a model with the transforms of a modulated one, and points at other λ.

    The factors follow from λ; each density begins as that of the nearest trained λ and is fitted to
    latents of training images, unless λ was trained itself.

    Raises:
        ConfigError: another method, or λ beyond those that were trained, or that do not fall.
        ModelError: a model that lacks what makes factors of λ.
        TrainingError: no usable image.
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
