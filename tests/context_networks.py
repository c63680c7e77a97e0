"""Context networks of random integers, which use all of what the format allows, and symbols."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.tables import from_probabilities

Arrays = dict[str, NDArray[Any]]


def random_arrays(seed: int, groups: tuple[int, ...] = (1, 2, 3), hidden: int = 8) -> Arrays:
    """Return the arrays of a valid network of large weights, at three steps."""
    rng = np.random.default_rng(seed)
    count, channels, steps, scales, tables = len(groups), sum(groups), 3, 6, 7

    def some(low: int, high: int, *shape: int, dtype: Any = np.int8) -> NDArray[Any]:
        return rng.integers(low, high + 1, shape).astype(dtype)

    # of many channels smaller ones, so that sums stay below 2**24
    largest = 128 if channels <= 60 else max(1, 2**22 // (127 * 18 * channels))
    masses = [rng.dirichlet(np.ones(rng.integers(1, 12))) * 0.99 for _ in range(tables)]
    coded = from_probabilities(rng.integers(-6, 2, tables).astype(np.int32), masses)
    sizes = np.sort(some(0, 127, steps, 9), axis=1)
    sizes[:, 0] = 0
    return {
        "groups": np.array(groups, np.int32),
        "features": sizes,
        "start": some(-3000, 3000, steps, hidden, dtype=np.int32),
        "kernel": some(-largest, largest - 1, 18 * channels, hidden),
        "kernel_shift": some(0, 2 if channels < 10 else 0, count, hidden),
        "bias": some(-9000, 9000, count, 2, hidden, dtype=np.int32),
        "places": some(5, 9, hidden),
        "mix": some(-128, 127, count, 2, hidden, hidden),
        "mix_bias": some(-9000, 9000, count, 2, hidden, dtype=np.int32),
        "mix_places": some(5, 9, count, 2, hidden),
        "out": some(-128, 127, 2, 2, channels, hidden),
        "out_bias": some(-9000, 9000, 2, 2, channels, dtype=np.int32),
        "out_places": some(6, 12, 2, 2, channels),
        "reciprocal": np.array([1024, 2133, 400], np.int32),
        "offset": np.array([0, 40, -30], np.int32),
        "choice": some(0, tables - 1, scales, 5, dtype=np.int32),
        "minimum": coded.minimum,
        "length": coded.sizes,
        "counts": coded.counts,
    }


def random_symbols(seed: int, shape: tuple[int, int, int]) -> NDArray[np.int16]:
    rng = np.random.default_rng(seed)
    symbols = np.rint(rng.laplace(0, 3, shape)).astype(np.int16)
    wild = rng.random(shape) < 0.02
    symbols[wild] = rng.integers(-32767, 32768, int(wild.sum()))
    return symbols
