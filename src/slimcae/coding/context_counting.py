"""Tables for a context network, from histograms of symbols minus their predicted centre.

Each pair of scale and fraction is a cell. The table of a cell comes from its histogram, with the
masses of a logistic distribution as prior. Cells with similar histograms share a table, because
the coder is slower with more tables.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.coder import Values
from slimcae.coding.context import ContextModel
from slimcae.coding.context_arrays import FRACTIONS, HALF
from slimcae.coding.entropy import EntropyModel, Part, Symbols
from slimcae.coding.tables import ESCAPE_BITS, SymbolTables, from_probabilities

REACH = 255
"""Tables contain values within ±REACH at most; others are escaped."""
PRIOR = 64.0
"""Weight of the logistic prior of each cell, as a number of values."""
SMALLEST_SHARE = 2.0**-20
"""Values at the ends of a table with a smaller share are left to the escape."""
SHARING_LOSS = 3e-4
"""Largest relative increase of the bits due to shared tables."""

Histograms = NDArray[np.float64]


def count_cells(
    network: Mapping[str, NDArray[Any]], tiles: Iterable[tuple[Symbols, int]], scales: int
) -> Histograms:
    """Count symbols minus centres by scale and fraction: (scales · 5, 2 · REACH + 2).

    The last entry of each histogram counts escapes.

    network: the arrays of `ContextArrays` without choice and tables.
    tiles: symbols (C, h, w) and the index of their step.
    """
    cells = scales * (HALF + 1)
    choice = np.arange(cells, dtype=np.int32).reshape(-1, HALF + 1)
    return count(ContextModel.from_arrays(_complete(network, choice, one_each(cells))), tiles)


def count(model: EntropyModel, tiles: Iterable[tuple[Symbols, int]]) -> Histograms:
    """Count the values that a model codes, separately for each table: (tables, 2 · REACH + 2)."""
    cells = model.tables.num_tables
    found = np.zeros(cells * (2 * REACH + 2), np.int64)

    def add(part: Part) -> Values:
        assert part.values is not None
        entries = part.values.astype(np.int64) + REACH
        entries[(entries < 0) | (entries > 2 * REACH)] = 2 * REACH + 1
        entries += part.which.astype(np.int64) * (2 * REACH + 2)
        np.add(found, np.bincount(entries, minlength=found.size), out=found)
        return part.values

    for symbols, step in tiles:
        shape = (symbols.shape[0], symbols.shape[1], symbols.shape[2])
        model.walk(add, shape, step, symbols)
    return found.reshape(cells, -1).astype(np.float64)


def counted_model(
    network: Mapping[str, NDArray[Any]], found: Histograms, smallest: float, per_e: float
) -> ContextModel:
    """Return the model whose tables are made from these histograms.

    smallest: logarithm of the lower bound of the first scale. per_e: scales per factor of e.
    """
    scales = len(found) // (HALF + 1)
    masses = _logistic(scales, smallest, per_e)
    found = found + PRIOR * masses
    choice, tables = shared_tables(found)
    pairs = choice.reshape(scales, HALF + 1)
    return ContextModel.from_arrays(_complete(network, pairs, tables))


def shared_tables(found: Histograms) -> tuple[NDArray[np.int32], SymbolTables]:
    """Return the index of the table of each histogram (N, 2 · REACH + 2), (N), and the tables."""
    choice = _share(found)
    minimum, shares = [], []
    for table in range(int(choice.max()) + 1):
        share = found[choice == table].sum(axis=0)
        share /= share.sum()
        named = np.flatnonzero(share[:-1] >= SMALLEST_SHARE)
        minimum.append(named[0] - REACH)
        shares.append(share[named[0] : named[-1] + 1])
    return choice.astype(np.int32), from_probabilities(np.array(minimum, np.int32), shares)


def _complete(
    network: Mapping[str, NDArray[Any]], choice: NDArray[np.int32], tables: SymbolTables
) -> dict[str, NDArray[Any]]:
    return {
        **network,
        "choice": choice,
        "minimum": tables.minimum,
        "length": tables.sizes,
        "counts": tables.counts,
    }


def one_each(cells: int) -> SymbolTables:
    """Return one placeholder table per cell, used only to count the cells separately."""
    return from_probabilities(np.zeros(cells, np.int32), [np.array([0.5])] * cells)


def _logistic(scales: int, smallest: float, per_e: float) -> Histograms:
    """Return the logistic probabilities of each cell: (scales · 5, 2 · REACH + 2)."""
    ends = np.arange(-REACH, REACH + 2) - 0.5
    rows = []
    for scale in range(scales):
        size = math.exp(smallest + (scale + 0.5) / per_e)
        for fraction in range(HALF + 1):
            z = np.clip((ends - fraction / FRACTIONS) / size, -700, 700)
            below = 1 / (1 + np.exp(-z))
            above = 1 / (1 + np.exp(z))
            # from the tail in which the difference keeps its precision
            inside = np.where(z[1:] < 0, np.diff(below), -np.diff(above))
            rows.append(np.append(inside, max(1 - inside.sum(), 0.0)))
    return np.array(rows)


def _bits(found: Histograms) -> NDArray[np.float64]:
    """Return the bits that histograms (..., entries) cost under their own probabilities."""
    total = found.sum(axis=-1)
    logs = np.log2(np.maximum(found, 1e-30))
    bits: NDArray[np.float64] = total * np.log2(total) - (found * logs).sum(axis=-1)
    return bits + ESCAPE_BITS * found[..., -1]


def _share(found: Histograms) -> NDArray[np.intp]:
    """Return the table of each cell; merge the most similar cells while the loss allows it."""
    members = [[cell] for cell in range(len(found))]
    sums = list(found)
    own = [float(_bits(row)) for row in found]
    budget = SHARING_LOSS * sum(own)
    loss = np.full((len(sums), len(sums)), np.inf)

    def fill(first: int) -> None:
        alive = [cell for cell in range(len(sums)) if members[cell] and cell != first]
        if alive:
            merged = _bits(np.array([sums[cell] for cell in alive]) + sums[first])
            costs = merged - np.array([own[cell] for cell in alive]) - own[first]
            loss[first, alive] = loss[alive, first] = costs

    for cell in range(len(sums)):
        fill(cell)
    while True:
        pair = int(loss.argmin())
        first, second = divmod(pair, len(sums))
        if loss[first, second] > budget:
            break
        budget -= max(float(loss[first, second]), 0.0)
        members[first] += members[second]
        members[second] = []
        sums[first] = sums[first] + sums[second]
        own[first] = float(_bits(sums[first]))
        loss[second] = loss[:, second] = np.inf
        fill(first)
    choice = np.empty(len(found), np.intp)
    for table, cells in enumerate([cells for cells in members if cells]):
        choice[cells] = table
    return choice
