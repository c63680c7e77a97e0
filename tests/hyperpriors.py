"""Hyperpriors of random integers that use everything that the format allows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.hyperprior_arrays import LAYERS
from slimcae.coding.tables import from_probabilities

Arrays = dict[str, NDArray[Any]]


def random_hyperprior(seed: int, channels: int = 3, hidden: tuple[int, ...] = (5, 4, 2, 6, 3),
                      steps: int = 3) -> Arrays:  # fmt: skip
    """Return the arrays of a valid hyperprior of large weights, at three steps.

    hidden: channels behind each layer but the last; the third is of z.
    """
    rng = np.random.default_rng(seed)
    tables, scales = 7, 9

    def some(low: int, high: int, *shape: int, dtype: Any = np.int8) -> NDArray[Any]:
        return rng.integers(low, high + 1, shape).astype(dtype)

    masses = [rng.dirichlet(np.ones(rng.integers(1, 12))) * 0.99 for _ in range(tables)]
    coded = from_probabilities(rng.integers(-6, 2, tables).astype(np.int32), masses)
    sizes = np.sort(some(0, 127, steps, 9), axis=1)
    sizes[:, 0] = 0
    found: Arrays = {}
    before = channels
    for (name, geometry), outputs in zip(LAYERS.items(), (*hidden, channels), strict=True):
        side = geometry.side
        # sums must stay below 2**24, and should not all be clipped
        largest = min(127, 2**24 // (2 * 127 * side**2 * before))
        spread = 30 * largest * side * before**0.5
        places = round(np.log2(spread / (3 if name == "h_s.3" else 60)))
        found[f"{name}.kernel"] = some(-largest, largest, side, side, before, outputs)
        found[f"{name}.bias"] = some(-int(spread), int(spread), steps, outputs, dtype=np.int32)
        found[f"{name}.places"] = some(places - 1, places + 1, outputs)
        before = outputs
    return found | {
        "features": sizes,
        "z_choice": some(0, tables - 1, steps, hidden[2], dtype=np.int32),
        "choice": some(0, tables - 1, scales, dtype=np.int32),
        "minimum": coded.minimum,
        "length": coded.sizes,
        "counts": coded.counts,
    }
