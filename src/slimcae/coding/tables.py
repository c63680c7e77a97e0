"""Tables of integer probabilities for the entropy coder.

Tables are made once, when the model is fitted, and stored in its file. Encoder and decoder use only
these integers, so rounding differences between machines cannot make them disagree.
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
"""Largest absolute value of a symbol."""
ESCAPE_BITS = 16
"""Bits of an escaped value, which follows the escape."""


@dataclass(frozen=True, eq=False)
class SymbolTables:
    """B tables of integer probabilities.

    Entry i of table b is the probability of symbol `minimum[b] + i`, multiplied by 2**24. The last
    entry is the escape, which stands for all other symbols.

    minimum: first symbol of each table, (B,).
    sizes: number of entries of each table, the escape included, at least 2: (B,).
    counts: the entries of all tables, concatenated; each is at least 1, and the entries of a
        table sum to 2**24.

    Raises:
        ValueError: The arrays violate these conditions.
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
        """Index in `counts` of the first entry of each table, (B,)."""
        return np.cumsum(self.sizes, dtype=np.int64) - self.sizes

    def of(self, table: int) -> NDArray[np.int32]:
        """Return the counts of one table, as a view."""
        return self.counts[self.starts[table] :][: self.sizes[table]]

    def entries(
        self, symbols: NDArray[np.signedinteger[Any]], tables: NDArray[np.integer[Any]]
    ) -> NDArray[np.int64]:
        """Return the index into `counts` of each symbol in its table; the arguments broadcast."""
        escape = (self.sizes - 1).astype(np.uint32)[tables]
        # symbols below a table wrap around to large numbers, so one comparison covers both sides
        found = np.subtract(symbols, self.minimum[tables], dtype=np.int32).view(np.uint32)
        where: NDArray[np.int64] = np.minimum(found, escape) + self.starts[tables]
        return where

    @cached_property
    def costs(self) -> NDArray[np.float64]:
        """Bits of every entry; for an escape, the bits of the escaped value are included."""
        costs: NDArray[np.float64] = PRECISION - np.log2(self.counts)
        costs[self.starts + self.sizes - 1] += ESCAPE_BITS
        return costs


def from_probabilities(
    minimum: NDArray[np.int32], probabilities: Sequence[NDArray[np.float64]]
) -> SymbolTables:
    """Return tables for given probability masses.

    minimum: first symbol of each table, (B,).
    probabilities: for each table the masses of minimum, minimum + 1, …; the escape gets the
        remainder to 1. Masses that sum to more than 1 are scaled down.

    Every entry gets one count; the other counts are distributed in proportion to the masses and
    rounded by largest remainder (ties go to the earlier entry).

    Raises:
        ValueError: Masses are negative or not finite, or symbols are beyond ±32767.
    """
    return from_counts(
        minimum, [_apportion(np.asarray(masses, np.float64)) for masses in probabilities]
    )


def from_counts(minimum: NDArray[np.int32], tables: Sequence[NDArray[np.int32]]) -> SymbolTables:
    """Return tables with these counts.

    Raises:
        ValueError: The counts are not valid tables.
    """
    sizes = np.array([len(counts) for counts in tables], np.int32)
    counts = np.concatenate([*tables, np.empty(0, np.int32)])
    return SymbolTables(np.asarray(minimum, np.int32), sizes, counts.astype(np.int32))


def _apportion(masses: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the counts of the masses and of the escape, which sum to 2**24."""
    if masses.ndim != 1 or not np.isfinite(masses).all() or (masses < 0).any():
        raise ValueError("probabilities must be finite and at least 0")
    shares = np.append(masses, max(1.0 - masses.sum(), 0.0))
    free = TOTAL - shares.size
    shares *= free / shares.sum()
    counts = np.floor(shares)
    left = free - int(counts.sum())
    by_remainder = np.argsort(counts - shares, kind="stable")
    counts[by_remainder[:left]] += 1
    entries: NDArray[np.int32] = (counts + 1).astype(np.int32)
    return entries
