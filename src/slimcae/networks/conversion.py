"""Conversion between trainable networks and models."""

from pathlib import Path

import numpy as np
import torch

from slimcae.coding.entropy_models import by_kind
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.tables import from_probabilities
from slimcae.errors import checked_bool
from slimcae.model.config import DEFAULT_STEPS, ModelInfo
from slimcae.model.file import halved, read_model, write_model
from slimcae.model.model import Model
from slimcae.model.registry import find_model
from slimcae.networks.autoencoder import Autoencoder
from slimcae.networks.bottleneck import EntropyBottleneck
from slimcae.networks.methods import new_network


def load_network(
    model: str | Path | None = None, device: str | torch.device = "cpu"
) -> Autoencoder:
    """Read the network of a model, in evaluation mode.

    model: a model file, a run folder, NAME or NAME@VERSION of an installed model; None is the
    shipped one.

    Raises:
        ModelError: The file is missing, damaged, or not a SlimCAE model file.
    """
    return to_network(read_model(find_model(model)), device)


def save_network(path: Path, network: Autoencoder, info: ModelInfo, *, half: bool = False) -> None:
    """Write the model file of a network, with tables of its densities.

    half: round the kernels to float16, which halves the file and changes the fingerprints.

    Raises:
        ModelError: Weights are not finite.
        OSError: The file cannot be written.
    """
    model = to_model(network, info)
    write_model(path, halved(model) if checked_bool("half", half) else model, half=half)


def to_network(model: Model, device: str | torch.device = "cpu") -> Autoencoder:
    """Return the network of a model, in evaluation mode.

    Raises:
        ModelError: Training tensors that the method needs are missing.
    """
    network = new_network(model.config, model.info.lmbda, initialise=False)
    network.restore(model.tensors, model.training_tensors)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return network.to(device).eval()


def to_model(
    network: Autoencoder, info: ModelInfo | None = None, *, steps: tuple[float, ...] = DEFAULT_STEPS
) -> Model:
    """Return the model of a network: its weights, and tables of its densities.

    The function also updates the network's medians.
    """
    network.update()
    return Model(
        network.config,
        network.tensors(),
        {
            width: by_kind(factorized_model(network.entropy_bottleneck(width), steps))
            for width in network.points
        },
        steps,
        info or ModelInfo(),
        network.training_tensors(),
    )


def factorized_model(bottleneck: EntropyBottleneck, steps: tuple[float, ...]) -> FactorizedModel:
    """Return an entropy model with a table for each channel and step from a trained density."""
    tails = bottleneck.tails()
    found = [bottleneck.probabilities(step, tails) for step in steps]
    tables = from_probabilities(
        np.concatenate([minimum for minimum, _ in found]),
        [masses for _, rows in found for masses in rows],
    )
    return FactorizedModel(tables, bottleneck.num_channels)
