"""Hyperpriors in model files: as training tensors, and as integers for coding.

`slimcae.coding.hyperprior_arrays` documents each array, and `slimcae.networks.int8` the
conversion of numbers to integers.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slimcae.coding.context_counting import REACH
from slimcae.coding.entropy import Symbols
from slimcae.coding.exact import ACTIVATION
from slimcae.coding.hyperprior import HyperpriorModel
from slimcae.coding.hyperprior_arrays import LAYERS
from slimcae.coding.hyperprior_counting import counted_hyperprior
from slimcae.errors import ModelError
from slimcae.model.model import Model
from slimcae.networks.context import UNIT
from slimcae.networks.context_conversion import SIZES
from slimcae.networks.hyperprior import SMALLEST_LOG_SCALE, Hyperprior, Hyperpriors
from slimcae.networks.int8 import doubles, fixed, weight_bytes

SCALES_PER_E = 4
"""Scales per factor of e."""
SCALES = 30
"""Number of scales, from 0.11 to 200; scales beyond are clipped."""
PREFIX = "hyperprior."
"""Prefix of the training tensors of hyperpriors."""


def hyperpriors_of(model: Model) -> Hyperpriors | None:
    """Return the hyperpriors in a model's training tensors, in evaluation mode.

    Raises:
        ModelError: The tensors are not those of hyperpriors of these operating points.
    """
    state = {
        name.removeprefix(PREFIX): torch.tensor(array)
        for name, array in model.training_tensors.items()
        if name.startswith(PREFIX)
    }
    if not state:
        return None
    hyperpriors = Hyperpriors.of_config(model.config)
    try:
        hyperpriors.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"the training tensors are not a hyperprior: {reason}") from error
    return hyperpriors.eval()


def hyperprior_tensors(hyperpriors: Hyperpriors) -> dict[str, NDArray[np.float32]]:
    """Return hyperpriors as training tensors of a model; inverse of `hyperpriors_of`."""
    state = hyperpriors.state_dict()
    return {PREFIX + name: tensor.cpu().numpy().copy() for name, tensor in state.items()}


@torch.no_grad()
def to_integers(
    hyperprior: Hyperprior, point: int, steps: Sequence[float]
) -> dict[str, NDArray[Any]]:
    """Return the arrays of `HyperpriorArrays` for these steps Δ, without choices and tables."""
    place, channels = hyperprior.places[point], hyperprior.channels[point]
    delta = np.array(steps)
    features = np.rint(UNIT * np.log1p(np.arange(SIZES) * delta[:, None]))
    found: dict[str, NDArray[Any]] = {"features": np.minimum(features, ACTIVATION).astype(np.int8)}
    # the integer for 1 in features and activations, z, and indices of scales
    units = {"h_a.3": (UNIT, 1), "h_s.1": (1, UNIT), "h_s.3": (UNIT, SCALES_PER_E)}
    for name, geometry in LAYERS.items():
        layer = hyperprior.layer(name)
        before, after = units.get(name, (UNIT, UNIT))
        weight = doubles(layer.weight)[:channels, :channels] * (after / before)
        if not geometry.transposed:
            weight = weight.swapaxes(0, 1)  # inputs, outputs, side, side
        log_steps = torch.log(torch.tensor(steps, device=layer.bias.device))
        bias = doubles(layer.biases(place, channels, log_steps))
        if name == "h_s.3":  # of symbols; rounded down
            bias = after * (bias - np.log(delta)[:, None] - SMALLEST_LOG_SCALE)
        else:  # sums are rounded down, so adding one half rounds them
            bias = after * bias + 0.5
        rows, places = weight_bytes(
            weight.transpose(1, 2, 3, 0).reshape(channels, -1), np.abs(bias).max(axis=0)
        )
        side = geometry.side
        kernel = rows.reshape(channels, side, side, channels).transpose(1, 2, 3, 0)
        found[f"{name}.kernel"] = np.ascontiguousarray(kernel)
        found[f"{name}.bias"] = fixed(bias, places)
        found[f"{name}.places"] = places
    return found


def counted(
    hyperprior: Hyperprior,
    point: int,
    steps: Sequence[float],
    tiles: Iterable[tuple[Symbols, int]],
) -> HyperpriorModel:
    """Return the model of an operating point, with tables counted on tiles.

    tiles: symbols (C, h, w) and the index of their step Δ.
    """
    network = to_integers(hyperprior, point, steps)
    density = _z_masses(hyperprior, point)
    return counted_hyperprior(network, density, tiles, SCALES, SMALLEST_LOG_SCALE, SCALES_PER_E)


def _z_masses(hyperprior: Hyperprior, point: int) -> NDArray[np.float64]:
    """Return the masses of integer z: (C, 2 · REACH + 2), with the remainder last."""
    first, rows = hyperprior.bottleneck(point).probabilities()
    found = np.zeros((hyperprior.channels[point], 2 * REACH + 2))
    for masses, start, row in zip(found, first, rows, strict=True):
        values = start + np.arange(len(row))
        near = np.abs(values) <= REACH
        masses[values[near] + REACH] = row[near]
        masses[-1] = max(1 - masses.sum(), 0.0)
    return found
