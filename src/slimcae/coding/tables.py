"""Integer probability tables: what encoder and decoder must agree on to the last count.

Tables are made once, when a model is saved, and travel with it. Decoding computes none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRECISION = 24
"""Probabilities are counts out of 2²⁴, the fixed-point precision of constriction's models."""
TOTAL = 1 << PRECISION
MAX_SYMBOL = 2**15 - 1
"""Symbols are coded from −MAX_SYMBOL to MAX_SYMBOL."""
ESCAPE_BITS = 16
"""Bits of a symbol outside its table, after the escape."""
MAX_ENTRIES = 2 * MAX_SYMBOL + 2


@dataclass(frozen=True)
class SymbolTables:
    """One probability table per channel.

    Entry i of `counts[c]` is the count of symbol `minimum[c] + i`; the last entry is the escape,
    for all symbols outside. Counts are at least 1 and sum to 2²⁴.

    Raises:
        ValueError: counts or ranges that do not work.
    """

    minimum: NDArray[np.int32]
    counts: tuple[NDArray[np.int32], ...]

    def __post_init__(self) -> None:
        if len(self.minimum) != len(self.counts):
            raise ValueError(f"{len(self.minimum)} minima for {len(self.counts)} tables")
        for channel, (first, counts) in enumerate(zip(self.minimum, self.counts, strict=True)):
            if not 2 <= len(counts) <= MAX_ENTRIES:
                raise ValueError(f"table {channel} has {len(counts)} entries")
            if counts.min() < 1 or int(counts.sum(dtype=np.int64)) != TOTAL:
                raise ValueError(f"the counts of table {channel} are not positive with sum 2^24")
            if first < -MAX_SYMBOL or int(first) + len(counts) - 2 > MAX_SYMBOL:
                raise ValueError(f"table {channel} goes beyond ±{MAX_SYMBOL}")

    def to_arrays(self) -> dict[str, NDArray[np.int32]]:
        """Flat int32 arrays for storage: `minimum` and `length` (C), `counts` (their sum)."""
        return {
            "minimum": self.minimum,
            "length": np.array([len(counts) for counts in self.counts], np.int32),
            "counts": np.concatenate(self.counts),
        }

    def entries(self, symbols: NDArray[np.int32], channel: int) -> NDArray[np.int32]:
        """The table entry of each symbol; the escape's for those outside."""
        escape = len(self.counts[channel]) - 1
        entries: NDArray[np.int32] = symbols - self.minimum[channel]
        entries[(entries < 0) | (entries >= escape)] = escape
        return entries

    def ideal_bits(self, symbols: NDArray[np.int32]) -> float:
        """Information content of symbols (C, H, W) in bits, escaped values included."""
        bits = 0.0
        for channel, counts in enumerate(self.counts):
            entries = self.entries(symbols[channel], channel)
            bits += float((PRECISION - np.log2(counts[entries])).sum())
            bits += ESCAPE_BITS * int((entries == len(counts) - 1).sum())
        return bits


def from_probabilities(
    minimum: NDArray[np.int32], probabilities: Sequence[NDArray[np.float64]]
) -> SymbolTables:
    """Tables from the masses of the symbols minimum[c], minimum[c] + 1, … of each channel.

    What the masses lack to 1 is the escape's. Every entry gets one count; the others are shared
    out by largest remainder, so that the sum is exact and the result the same everywhere.

    Raises:
        ValueError: masses that are negative or not finite, or ranges that do not work.
    """
    return SymbolTables(
        minimum.astype(np.int32), tuple(_counts(masses) for masses in probabilities)
    )


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> SymbolTables:
    """The inverse of `SymbolTables.to_arrays`, with every value checked.

    Raises:
        ValueError: missing arrays, wrong types or lengths, or tables that do not work.
    """
    for name in ("minimum", "length", "counts"):
        if name not in arrays:
            raise ValueError(f"the tables lack {name!r}")
        if arrays[name].dtype != np.int32 or arrays[name].ndim != 1:
            raise ValueError(f"table array {name!r} is not a row of int32")
    length, counts = arrays["length"], arrays["counts"]
    if (length < 0).any() or int(length.sum(dtype=np.int64)) != len(counts):
        raise ValueError("the tables' lengths do not match their counts")
    return SymbolTables(arrays["minimum"], tuple(np.split(counts, np.cumsum(length)[:-1])))


def _counts(masses: NDArray[np.float64]) -> NDArray[np.int32]:
    if not (np.isfinite(masses).all() and (masses >= 0).all()):
        raise ValueError("probabilities must be finite and not negative")
    masses = np.append(masses, max(0.0, 1.0 - float(masses.sum())))
    shares = masses / masses.sum() * (TOTAL - len(masses))
    counts = np.floor(shares).astype(np.int64)
    order = np.argsort(counts - shares, kind="stable")  # largest remainder first
    counts[order[: TOTAL - len(masses) - int(counts.sum())]] += 1
    return (counts + 1).astype(np.int32)
