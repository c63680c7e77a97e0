"""Context networks in model files: as training tensors, and as integers for coding.

`slimcae.coding.context_arrays` documents each array, and `slimcae.networks.int8` the conversion
of numbers to integers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slimcae.coding.context import CROSS, EVEN
from slimcae.coding.context_arrays import (
    FRACTIONS,
    LARGEST_MEAN,
    MEAN_BITS,
    OFFSET_PLACES,
    RATIO_BITS,
)
from slimcae.coding.exact import ACTIVATION, EXACT
from slimcae.errors import ModelError
from slimcae.model.model import Model
from slimcae.networks.context import UNIT, ContextNetwork
from slimcae.networks.int8 import (
    BYTE,
    MOST_PLACES,
    TINY,
    Bytes,
    Doubles,
    doubles,
    fixed,
    places_for,
    weight_bytes,
)

SIZES = 256
"""Absolute value from which all symbols share one feature."""
SCALES_PER_E = 4
"""Scales per factor of e."""
SMALLEST_LOG_SCALE = -3.0
SCALES = 30
"""Number of scales, from e**-3 to e**4.25; scales beyond are clipped."""


def context_networks(model: Model) -> dict[int, ContextNetwork]:
    """Return the networks in a model's training tensors, by width, in evaluation mode.

    Raises:
        ModelError: The tensors are not those of a context network of the width.
    """
    found = {}
    for width in model.points:
        prefix = _prefix(width)
        arrays = {
            name.removeprefix(prefix): array
            for name, array in model.training_tensors.items()
            if name.startswith(prefix)
        }
        if not arrays:
            continue
        try:
            network = ContextNetwork.from_arrays(arrays)
        except (KeyError, ValueError, IndexError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise ModelError(
                f"the training tensors of width {width} are not a context network: {reason}"
            ) from error
        channels = model.architecture.latent_channels(model.filters(width))
        if sum(network.groups) != channels:
            raise ModelError(
                f"the context network of width {width} has {sum(network.groups)} channels, "
                f"not {channels}"
            )
        found[width] = network.eval()
    return found


def context_tensors(networks: Mapping[int, ContextNetwork]) -> dict[str, NDArray[np.float32]]:
    """Return networks as training tensors of a model; inverse of `context_networks`."""
    return {
        _prefix(width) + name: array
        for width, network in networks.items()
        for name, array in network.to_arrays().items()
    }


@torch.no_grad()
def to_integers(network: ContextNetwork, steps: Sequence[float]) -> dict[str, NDArray[Any]]:
    """Return the arrays of `ContextArrays` for these steps Δ, without `choice` and tables."""
    delta = np.array(steps)
    log_steps = torch.log(torch.tensor(steps, device=network.start.device))[:, None]
    initial = log_steps * network.start[0] + log_steps.square() * network.start[1]
    sizes = np.rint(UNIT * np.log1p(np.arange(SIZES) * delta[:, None]))
    start = doubles(initial) * UNIT
    # activations are rounded down, so adding one half rounds them
    bias = doubles(network.bias)[:, 0] * UNIT + 0.5
    largest = np.abs(start).max(axis=0) + np.abs(bias).max(axis=0)
    kernel, shift, places = _shared_places(_kernels(network), largest)
    mix_bias = doubles(network.mix_bias)[:, 0] * UNIT + 0.5
    mix, mix_places = weight_bytes(doubles(network.mix.transpose(1, 2)), mix_bias)
    weights = [_by_kind(doubles(weight.transpose(1, 2))) for weight in network.out]
    biases = [_by_kind(doubles(bias.transpose(1, 2))) for bias in network.out_bias]
    heads, out_bias = np.concatenate(weights, axis=2), np.concatenate(biases, axis=2)[..., 0]
    # means in sixteenths, rounded; scales in indices, rounded down
    heads[:, 1] *= SCALES_PER_E / UNIT
    out_bias[:, 0] = out_bias[:, 0] * UNIT + 0.5
    out_bias[:, 1] = (out_bias[:, 1] - SMALLEST_LOG_SCALE) * SCALES_PER_E
    fewest = np.array([0, OFFSET_PLACES])[:, None]
    out, out_places = weight_bytes(heads, out_bias, fewest)
    shape = (len(network.groups), 2, network.hidden)
    offset = -SCALES_PER_E * np.log(delta) * 2**OFFSET_PLACES
    most = (EXACT - ((FRACTIONS + 1) << MEAN_BITS)) // LARGEST_MEAN
    return {
        "groups": np.array(network.groups, np.int32),
        "features": np.minimum(sizes, ACTIVATION).astype(np.int8),
        "start": fixed(start, places),
        "kernel": kernel,
        "kernel_shift": shift,
        "bias": fixed(bias, places).reshape(shape),
        "places": places,
        "mix": mix.reshape(*shape, network.hidden),
        "mix_bias": fixed(mix_bias, mix_places).reshape(shape),
        "mix_places": mix_places.reshape(shape),
        "out": out,
        "out_bias": fixed(out_bias, out_places),
        "out_places": out_places,
        "reciprocal": np.clip(np.rint(2**RATIO_BITS / delta), 1, most).astype(np.int32),
        "offset": np.rint(offset).astype(np.int32),
    }


def _prefix(width: int) -> str:
    """Return the prefix of the training tensors of a width."""
    return f"context.{width}."


def _kernels(network: ContextNetwork) -> list[Doubles]:
    """Return each group's 3×3 kernel: (9 · channels · 2, H)."""
    kernels = []
    for group, cross, even in zip(network.slices, network.cross, network.even, strict=True):
        taps = np.zeros((9, 2 * (group.stop - group.start), network.hidden))
        taps[CROSS, ...] = doubles(cross).reshape(len(CROSS), -1, network.hidden)
        if group is not network.slices[-1]:  # no group follows the last one
            taps[EVEN, ...] = doubles(even).reshape(len(EVEN), -1, network.hidden)
        kernels.append(taps.reshape(-1, network.hidden))
    return kernels


def _by_kind(array: Doubles) -> Doubles:
    """Reshape (2, 2 · channels, n) to (2, 2, channels, n), with separate means and scales."""
    return array.reshape(2, 2, -1, array.shape[2])


def _shared_places(kernels: Sequence[Doubles], bias: Doubles) -> tuple[Bytes, Bytes, Bytes]:
    """Return kernels as bytes (rows, H), their shifts (G, H), and the shared binary places (H).

    The state sums all kernels, so each of its numbers has one number of places, as large as the
    bound allows. A kernel whose weights then exceed a byte is divided by a power of two.
    """
    room = EXACT / 2 / ACTIVATION  # the other half is for start and bias
    total = np.sum([np.abs(kernel).sum(axis=0) for kernel in kernels], axis=0)
    places = np.minimum(np.log2(room / np.maximum(total, TINY)), places_for(bias))
    places = np.clip(np.floor(places), 0, MOST_PLACES)
    shifts, rounded = [], []
    for kernel in kernels:
        most = np.maximum(np.abs(kernel).max(axis=0), TINY)
        shift = np.maximum(np.ceil(places - np.log2(BYTE / most)), 0)
        whole = np.rint(np.ldexp(kernel, (places - shift).astype(np.int32)))
        shifts.append(shift.astype(np.int8))
        rounded.append(np.clip(whole, -BYTE, BYTE).astype(np.int8))
    return np.concatenate(rounded), np.stack(shifts), places.astype(np.int8)
