"""Context networks in model files: as training tensors, and as integers for coding.

`slimcae.coding.context_arrays` documents each array, and `slimcae.networks.int8` the conversion
of numbers to integers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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


def networks_to_continue(model: Model) -> dict[int, ContextNetwork]:
    """Return the networks that training continues, by width.

    They are those in the training tensors; for packaged models, which have none, those that the
    integers describe.

    Raises:
        ModelError: The tensors are not those of a context network of the width.
    """
    integers = {
        width: from_integers(models["context"].to_arrays(), model.steps)
        for width, models in model.entropy_models.items()
        if "context" in models
    }
    return integers | context_networks(model)


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


@torch.no_grad()
def from_integers(arrays: Mapping[str, NDArray[Any]], steps: Sequence[float]) -> ContextNetwork:
    """Return the network that the arrays of `ContextArrays` for these steps Δ describe.

    It is the inverse of `to_integers`, except for rounding.
    """
    network = ContextNetwork(arrays["groups"].tolist(), arrays["places"].size)
    places = arrays["places"]
    logs = np.log(steps)
    start = _numbers(arrays["start"], places) / UNIT
    _set(network.start, np.linalg.lstsq(np.stack([logs, logs**2], axis=1), start)[0])
    _set(network.bias, (_numbers(arrays["bias"], places) - 0.5) / UNIT)
    ends = np.cumsum([18 * size for size in network.groups])[:-1]
    kernels = np.split(arrays["kernel"], ends)
    for k, (kernel, shift) in enumerate(zip(kernels, arrays["kernel_shift"], strict=True)):
        taps = _numbers(kernel, places - shift).reshape(9, -1, network.hidden)
        _set(network.cross[k], taps[CROSS, ...])
        _set(network.even[k], taps[EVEN, ...])
    mix = _numbers(arrays["mix"], arrays["mix_places"][..., None])
    _set(network.mix, mix.swapaxes(-1, -2))
    _set(network.mix_bias, (_numbers(arrays["mix_bias"], arrays["mix_places"]) - 0.5) / UNIT)
    heads = _numbers(arrays["out"], arrays["out_places"][..., None])
    biases = _numbers(arrays["out_bias"], arrays["out_places"])
    heads[:, 1] *= UNIT / SCALES_PER_E
    biases[:, 0] = (biases[:, 0] - 0.5) / UNIT
    biases[:, 1] = biases[:, 1] / SCALES_PER_E + SMALLEST_LOG_SCALE
    for k, group in enumerate(network.slices):
        own = heads[:, :, group].reshape(2, -1, network.hidden)
        _set(network.out[k], own.swapaxes(1, 2))
        _set(network.out_bias[k], biases[:, :, group])
    return network.eval()


def _numbers(whole: NDArray[Any], places: NDArray[Any]) -> Doubles:
    """Convert fixed point with `places` binary places to numbers."""
    numbers: Doubles = np.ldexp(whole.astype(np.float64), -places.astype(np.int32))
    return numbers


def _set(parameter: Tensor, values: Doubles) -> None:
    parameter.copy_(torch.from_numpy(values.copy()).reshape(parameter.shape))


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
