"""Exact integer arithmetic in float32, for context networks and hyperpriors.

Sums of products are exact in any order, on any machine, as long as the sum of their absolute values
stays below 2**24. Model files are checked for that when they are read.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT = 2**24
"""Integers, and sums of integers, below this are exact in float32 in any order."""
ACTIVATION = 127
"""Features and activations are in 0 … ACTIVATION (the signed feature: ±ACTIVATION)."""
MOST_PLACES = 24

Integers = NDArray[np.int32]
Floats = NDArray[np.float32]
Bytes = NDArray[np.int8]


def scaled(numbers: NDArray[np.signedinteger[Any]], places: Bytes) -> Floats:
    """Return numbers · 2**−places as float32, which is exact below 2**24."""
    found: Floats = np.ldexp(numbers.astype(np.float32), -places.astype(np.int32))
    return found


def activate(values: Floats) -> None:
    """Round down and clip to 0 … ACTIVATION, in place."""
    np.floor(values, out=values)
    np.clip(values, 0, ACTIVATION, out=values)


def weight_sums(weights: Bytes, axis: int | tuple[int, ...]) -> NDArray[np.int64]:
    """Return the sums of the absolute weights over the given axes."""
    sizes: NDArray[np.int64] = np.abs(weights.astype(np.int16)).sum(axis=axis, dtype=np.int64)
    return sizes
