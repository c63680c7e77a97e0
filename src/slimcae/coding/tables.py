"""Probabilities as integers: the tables that the entropy coder works with.

Tables are made once, with the model, and travel in its file. Encoder and decoder only ever see
these integers, so that no rounding of any machine can come between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRECISION = 24
"""The counts of a table sum to 2**PRECISION."""
TOTAL = 2**PRECISION
MAX_SYMBOL = 2**15 - 1
"""Symbols lie within ±MAX_SYMBOL."""
ESCAPE_BITS = 16
"""Bits that the value behind an escape costs."""


@dataclass(frozen=True, eq=False)
class SymbolTables:
    """B tables of integer probabilities.

    Entry i of table b is how often of 2**24 times symbol `minimum[b] + i` is expected. The last
    entry is the escape, which stands for all other symbols.

    minimum: first symbol of each table, (B,).
    sizes: entries of each table, the escape included, at least two: (B,).
    counts: the entries of all tables one after the other; each is at least 1, and those of a
        table sum to 2**24.

    Raises:
        ValueError: tables that are not so.
    """

    minimum: NDArray[np.int32]
    sizes: NDArray[np.int32]
    counts: NDArray[np.int32]

    def __post_init__(self) -> None:
        arrays = (self.minimum, self.sizes, self.counts)
        if any(array.dtype != np.int32 or array.ndim != 1 for array in arrays):
            raise ValueError("the arrays of tables must be one-dimensional and int32")
        if self.minimum.shape != self.sizes.shape or not self.sizes.size:
            raise ValueError(f"{self.minimum.size} first symbols for {self.sizes.size} tables")
        if self.sizes.min() < 2:
            raise ValueError("a table needs at least one symbol and the escape")
        if int(self.sizes.sum(dtype=np.int64)) != self.counts.size:
            raise ValueError(f"the lengths of the tables do not add up to {self.counts.size}")
        last = self.minimum.astype(np.int64) + self.sizes - 2
        if self.minimum.min() < -MAX_SYMBOL or last.max() > MAX_SYMBOL:
            raise ValueError(f"a table has symbols beyond ±{MAX_SYMBOL}")
        sums = np.add.reduceat(self.counts, self.starts, dtype=np.int64)
        if self.counts.min() < 1 or (sums != TOTAL).any():
            raise ValueError(f"the counts of a table must be positive and sum to {TOTAL}")

    @property
    def num_tables(self) -> int:
        """B."""
        return self.sizes.size

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where in `counts` each table's entries begin, (B,)."""
        return np.cumsum(self.sizes, dtype=np.int64) - self.sizes

    def of(self, table: int) -> NDArray[np.int32]:
        """Return the counts of one table, as a view."""
        return self.counts[self.starts[table] :][: self.sizes[table]]

    def entries(
        self, symbols: NDArray[np.signedinteger[Any]], tables: NDArray[np.integer[Any]]
    ) -> NDArray[np.int64]:
        """Return the index into `counts` of each symbol in its table; the two are broadcast."""
        escape = (self.sizes - 1).astype(np.uint32)[tables]
        # symbols below a table wrap around to huge numbers: one comparison finds both sides
        found = np.subtract(symbols, self.minimum[tables], dtype=np.int32).view(np.uint32)
        where: NDArray[np.int64] = np.minimum(found, escape) + self.starts[tables]
        return where

    @cached_property
    def costs(self) -> NDArray[np.float64]:
        """Bits of every entry; an escape's with the value behind it."""
        costs: NDArray[np.float64] = PRECISION - np.log2(self.counts)
        costs[self.starts + self.sizes - 1] += ESCAPE_BITS
        return costs


def from_probabilities(
    minimum: NDArray[np.int32], probabilities: Sequence[NDArray[np.float64]]
) -> SymbolTables:
    """Return tables of the masses that a density gives to the symbols from `minimum` on.

    minimum: first symbol of each table, (B,).
    probabilities: per table the masses of minimum, minimum + 1, …; what they lack to one is
        the escape's. Masses that sum to more than one are scaled down.

    Every entry gets one count, the rest is shared out in proportion and rounded by largest
    remainder (the earlier entry first where remainders tie).

    Raises:
        ValueError: masses that are negative or not finite, symbols beyond ±32767.
    """
    return from_counts(
        minimum, [_apportion(np.asarray(masses, np.float64)) for masses in probabilities]
    )


def from_counts(minimum: NDArray[np.int32], tables: Sequence[NDArray[np.int32]]) -> SymbolTables:
    """Return tables of these counts.

    Raises:
        ValueError: counts that are no valid tables.
    """
    sizes = np.array([len(counts) for counts in tables], np.int32)
    counts = np.concatenate([*tables, np.empty(0, np.int32)])
    return SymbolTables(np.asarray(minimum, np.int32), sizes, counts.astype(np.int32))


def _apportion(masses: NDArray[np.float64]) -> NDArray[np.int32]:
    """Integer counts of masses and of the escape behind them, summing to 2**24."""
    if masses.ndim != 1 or not np.isfinite(masses).all() or (masses < 0).any():
        raise ValueError("probabilities must be finite and not negative")
    shares = np.append(masses, max(1.0 - masses.sum(), 0.0))
    free = TOTAL - shares.size
    shares *= free / shares.sum()
    counts = np.floor(shares)
    left = free - int(counts.sum())
    by_remainder = np.argsort(counts - shares, kind="stable")
    counts[by_remainder[:left]] += 1
    entries: NDArray[np.int32] = (counts + 1).astype(np.int32)
    return entries
