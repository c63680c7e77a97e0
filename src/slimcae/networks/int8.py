"""Conversion of floating-point weights to int8 with binary places.

A number x becomes round(2^places · x), with as many places as int8 and the bound on sums
(`slimcae.coding.exact`) allow.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from slimcae.coding.exact import ACTIVATION, EXACT

MOST_PLACES = 16
BYTE = 127
TINY = 1e-9
"""Lower bound before a logarithm is taken."""

Doubles = NDArray[np.float64]
Bytes = NDArray[np.int8]


def doubles(tensor: Tensor) -> Doubles:
    """Convert a tensor to a float64 array."""
    array: Doubles = tensor.detach().double().cpu().numpy()
    return array


def fixed(numbers: Doubles, places: Bytes) -> NDArray[np.int32]:
    """Convert numbers to fixed point with `places` binary places."""
    whole: NDArray[np.int32] = np.rint(np.ldexp(numbers, places.astype(np.int32))).astype(np.int32)
    return whole


def weight_bytes(
    weights: Doubles, bias: Doubles, fewest: NDArray[np.int64] | int = 0
) -> tuple[Bytes, Bytes]:
    """Return weights (..., n) as int8, and the places of each row; these leave room for a bias."""
    sizes = np.abs(weights)
    places = np.minimum(np.log2(BYTE / np.maximum(sizes.max(axis=-1), TINY)), places_for(bias))
    room = EXACT / 2 / ACTIVATION  # a quarter is for the bias, the rest for rounding
    places = np.minimum(places, np.log2(room / np.maximum(sizes.sum(axis=-1), TINY)))
    places = np.clip(np.floor(places), fewest, MOST_PLACES).astype(np.int8)
    rounded = np.rint(np.ldexp(weights, places.astype(np.int32)[..., None]))
    return np.clip(rounded, -BYTE, BYTE).astype(np.int8), places


def places_for(bias: Doubles) -> Doubles:
    """Return the number of binary places with which numbers stay below a quarter of 2**24."""
    places: Doubles = np.log2(EXACT / 4 / np.maximum(np.abs(bias), TINY))
    return places
