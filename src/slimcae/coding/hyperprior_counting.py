"""Tables for a hyperprior, from counts of z by step and channel, and of latents by scale."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.context_counting import (
    PRIOR,
    REACH,
    Histograms,
    count,
    one_each,
    shared_tables,
)
from slimcae.coding.counting import cluster
from slimcae.coding.entropy import Symbols
from slimcae.coding.hyperprior import HyperpriorModel
from slimcae.coding.tables import SymbolTables


def counted_hyperprior(
    network: Mapping[str, NDArray[Any]],
    density: Histograms,
    tiles: Iterable[tuple[Symbols, int]],
    scales: int,
    smallest: float,
    per_e: float,
) -> HyperpriorModel:
    """Return the model whose tables are counted on tiles.

    network: the arrays of `HyperpriorArrays` without choices and tables.
    density: prior probabilities of the channels of z, (M, 2 · REACH + 2), with the escape last; it
        gives unseen values some probability.
    tiles: symbols (C, h, w) and the index of their step.
    scales: number of scales. smallest: logarithm of the lower bound of the first scale.
    per_e: scales per factor of e.
    """
    steps, cells = len(network["features"]), len(network["features"]) * len(density)
    apart = np.arange(cells + scales, dtype=np.int32)
    plain = _complete(
        network, apart[:cells].reshape(steps, -1), apart[cells:], one_each(cells + scales)
    )
    found = count(plain, tiles)
    of_z = found[:cells].reshape(steps, *density.shape) + PRIOR * density
    z_tables, z_choice = cluster(of_z.reshape(cells, -1).astype(np.float32))
    choice, tables = shared_tables(found[cells:] + PRIOR * _normal(scales, smallest, per_e))
    both = SymbolTables(
        *(
            np.concatenate([getattr(z_tables, name), getattr(tables, name)])
            for name in ("minimum", "sizes", "counts")
        )
    )
    return _complete(
        network,
        z_choice.reshape(steps, -1).astype(np.int32),
        choice + np.int32(z_tables.num_tables),
        both,
    )


def _complete(
    network: Mapping[str, NDArray[Any]],
    z_choice: NDArray[np.int32],
    choice: NDArray[np.int32],
    tables: SymbolTables,
) -> HyperpriorModel:
    return HyperpriorModel.from_arrays(
        {
            **network,
            "z_choice": z_choice,
            "choice": choice,
            "minimum": tables.minimum,
            "length": tables.sizes,
            "counts": tables.counts,
        }
    )


def _normal(scales: int, smallest: float, per_e: float) -> Histograms:
    """Return the probabilities of a zero-mean normal at each scale: (scales, 2 · REACH + 2)."""
    sizes = np.exp(smallest + (np.arange(scales) + 0.5) / per_e)[:, None]
    ends = (np.arange(-REACH, REACH + 2) - 0.5) / sizes / math.sqrt(2)
    # the smaller of the two tails, in which differences keep their precision
    tails = 0.5 * np.vectorize(math.erfc)(np.abs(ends))
    inside = np.abs(np.diff(tails))
    middle = 1 - tails[:, REACH] - tails[:, REACH + 1]  # the interval around 0
    inside[:, REACH] = middle
    return np.column_stack([inside, np.maximum(1 - inside.sum(axis=1), 0.0)])
