"""Fit models of kind `tables` from counts of symbols by class.

A width has a histogram for every (step, channel, class), tens of thousands in total. Many are
similar: a low-variance channel at a fine step resembles a high-variance one at a coarse step. So a
few tables suffice with little loss. They are found by k-means (Lloyd) with coded bits as distance;
a centre is the sum of the histograms that choose it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.activity import CENTRE, LARGEST, AnySymbols, TablesModel, activities
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.tables import ESCAPE_BITS, TOTAL, SymbolTables, from_probabilities

GROUP_ENDS = (0.03, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8, 1.0)
"""Ends of the groups, as fractions of the channels."""
CLASSES = 6
MAX_TABLES = 64
PRIOR = 256.0
"""Weight of the factorized density of each channel, as a number of latents."""
REACH = 255
"""Tables contain symbols within ±REACH at most; others are escaped."""
SMALLEST_SHARE = 2.0**-20
"""Symbols at the ends of a table with a smaller share are left to the escape."""
ROUNDS = 25
NEVER = 1e-20
"""Lower bound of probabilities before a logarithm is taken."""

Floats = NDArray[np.float32]


def channel_groups(channels: int) -> tuple[int, ...]:
    """Return the number of channels of each group."""
    ends = sorted({max(1, round(channels * end)) for end in GROUP_ENDS})
    return tuple(np.diff([0, *ends]).tolist())


class ActivityCounts:
    """Histograms of the activity of places, for each group of one width at one step."""

    def __init__(self, groups: tuple[int, ...]) -> None:
        self._groups = groups
        most = (CENTRE + 9) * LARGEST * sum(groups)
        self._found = np.zeros((len(groups), most + 1), np.int64)

    def add(self, symbols: AnySymbols) -> None:
        """Count the places of a tile's symbols (C, h, w)."""
        for counts, (_, activity) in zip(
            self._found, activities(symbols, self._groups), strict=True
        ):
            counts += np.bincount(activity.ravel(), minlength=counts.size)

    def thresholds(self) -> NDArray[np.int32]:
        """Return thresholds that make classes about equally frequent: (G, CLASSES − 1)."""
        below = self._found.cumsum(axis=1)
        wanted = np.arange(1, CLASSES) / CLASSES
        rows = [np.searchsorted(row, row[-1] * wanted) + 1 for row in below]
        return np.array(rows, np.int32)


class ClassCounts:
    """Histograms of the symbols of each channel and class, for one width at one step.

    density: its tables define which symbols are counted individually.
    """

    def __init__(
        self,
        density: FactorizedModel,
        step: int,
        groups: tuple[int, ...],
        thresholds: NDArray[np.int32],
    ) -> None:
        self.groups = groups
        self.thresholds = thresholds
        self._tables = density.tables
        self._mine = np.arange(density.num_channels) + step * density.num_channels
        self._starts = density.tables.starts[self._mine]
        entries = int(density.tables.sizes[self._mine].sum())
        self._found = np.zeros((entries, CLASSES), np.int64)

    def add(self, symbols: AnySymbols) -> None:
        """Count a tile's symbols (C, h, w)."""
        where = self._tables.entries(symbols, self._mine[:, None, None]) - self._starts[0]
        where *= CLASSES
        for group, (channels, activity) in enumerate(activities(symbols, self.groups)):
            where[channels] += np.searchsorted(self.thresholds[group], activity, side="right")
        counts = np.bincount(where.ravel(), minlength=self._found.size)
        self._found += counts.reshape(-1, CLASSES)

    def histograms(self) -> tuple[Floats, Floats]:
        """Return counts (C, CLASSES, 2·REACH + 2) and the density's masses (C, 2·REACH + 2).

        The last entry counts escapes.
        """
        found = np.zeros((len(self._mine), CLASSES, 2 * REACH + 2), np.float32)
        masses = np.zeros((len(self._mine), 2 * REACH + 2), np.float32)
        tables = self._tables
        for channel, (table, start) in enumerate(zip(self._mine, self._starts, strict=True)):
            size = int(tables.sizes[table])
            place = np.arange(size) + tables.minimum[table] + REACH
            place[-1] = -1  # the escape
            place[(place < 0) | (place > 2 * REACH)] = 2 * REACH + 1
            counts = self._found[start - self._starts[0] :][:size]
            np.add.at(found[channel].T, place, counts.astype(np.float32))
            shares = tables.counts[start : start + size] / TOTAL
            np.add.at(masses[channel], place, shares.astype(np.float32))
        return found, masses


def tables_model(counts: Sequence[ClassCounts]) -> TablesModel:
    """Return the model of one width from the counts of each step."""
    pairs = [count.histograms() for count in counts]
    found = np.stack([pair[0] for pair in pairs])
    masses = np.stack([pair[1] for pair in pairs])
    # the density is the same in all classes; it only gives unseen symbols some probability
    found += masses[:, :, None] * (PRIOR / CLASSES)
    shape = found.shape[:3]
    tables, choice = cluster(found.reshape(-1, found.shape[3]))
    thresholds = np.stack([count.thresholds for count in counts])
    return TablesModel(tables, counts[0].groups, thresholds, choice.reshape(shape).astype(np.int32))


def cluster(found: Floats) -> tuple[SymbolTables, NDArray[np.intp]]:
    """Return tables for histograms (N, entries), and the index of each one's table, (N,)."""
    choice = _by_entropy(found)
    for _ in range(ROUNDS):
        centres = np.maximum(_sums(found, choice), NEVER)
        bits = -np.log2(centres / centres.sum(axis=1, keepdims=True))
        bits[:, -1] += ESCAPE_BITS
        choice = (found @ bits.T).argmin(axis=1)
    _, choice = np.unique(choice, return_inverse=True)  # drop unused tables
    minimum, masses = [], []
    for row in _sums(found, choice).astype(np.float64):
        share = row / row.sum()
        named = np.flatnonzero(share[:-1] >= SMALLEST_SHARE)
        first, last = (named[0], named[-1]) if named.size else (REACH, REACH)
        minimum.append(first - REACH)
        masses.append(share[first : last + 1])
    return from_probabilities(np.array(minimum, np.int32), masses), choice


def _by_entropy(found: Floats) -> NDArray[np.intp]:
    """Return the initial choice: sort by entropy, and give every table about as many bits."""
    total = found.sum(axis=1)
    share = found / total[:, None]
    entropy = -(share * np.log2(np.maximum(share, NEVER))).sum(axis=1)
    order = np.argsort(entropy, kind="stable")
    bits = np.cumsum(total[order].astype(np.float64) * (entropy[order] + 0.05))
    choice = np.empty(len(found), np.intp)
    choice[order] = np.minimum(bits / bits[-1] * MAX_TABLES, MAX_TABLES - 1)
    return choice


def _sums(found: Floats, choice: NDArray[np.intp]) -> Floats:
    """Return the sum of the histograms that chose each table."""
    members = np.zeros((int(choice.max()) + 1, len(found)), np.float32)
    members[choice, np.arange(len(found))] = 1
    sums: Floats = members @ found
    return sums
