"""Probabilities as integers: the tables that the entropy coder works with.

Tables are made once, with the model, and travel in its file. Encoder and decoder only ever see
these integers, so that no rounding of any machine can come between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRECISION = 24
"""The counts of a table sum to 2**PRECISION."""
TOTAL = 2**PRECISION
MAX_SYMBOL = 2**15 - 1
"""Symbols lie within ±MAX_SYMBOL."""
ESCAPE_BITS = 16
"""What the value of an escaped symbol costs beside its escape."""


@dataclass(frozen=True, eq=False)
class SymbolTables:
    """Integer probabilities of C independent channels.

    Entry i of channel c is how often of 2**24 times symbol `minimum[c] + i` is expected. The last
    entry is the escape, which stands for all other symbols.

    minimum: first symbol of each channel, (C,).
    counts: C arrays of at least two entries, each entry at least 1, each array's sum 2**24.

    Raises:
        ValueError: tables that are not so.
    """

    minimum: NDArray[np.int32]
    counts: tuple[NDArray[np.int32], ...]

    def __post_init__(self) -> None:
        if self.minimum.shape != (len(self.counts),) or not self.counts:
            raise ValueError(f"{self.minimum.size} first symbols for {len(self.counts)} tables")
        sizes = self.sizes
        if sizes.min() < 2:
            raise ValueError("a table needs at least one symbol and the escape")
        last = self.minimum.astype(np.int64) + sizes - 2
        if self.minimum.min() < -MAX_SYMBOL or last.max() > MAX_SYMBOL:
            raise ValueError(f"a table has symbols beyond ±{MAX_SYMBOL}")
        flat = np.concatenate(self.counts).astype(np.int64)
        sums = np.add.reduceat(flat, np.cumsum(sizes) - sizes)
        if flat.min() < 1 or (sums != TOTAL).any():
            raise ValueError(f"the counts of a table must be positive and sum to {TOTAL}")

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Entries of each table, the escape included: (C,)."""
        return np.array([len(counts) for counts in self.counts], np.int64)

    def to_arrays(self) -> dict[str, NDArray[np.int32]]:
        """The tables as three flat arrays, for a model file: see `from_arrays`."""
        return {
            "counts": np.concatenate(self.counts).astype(np.int32),
            "minimum": self.minimum.astype(np.int32),
            "length": self.sizes.astype(np.int32),
        }

    def ideal_bits(self, symbols: NDArray[np.int32]) -> float:
        """Information content in bits of symbols (C, H, W), escapes included.

        Raises:
            ValueError: symbols of another number of channels.
        """
        if symbols.ndim != 3 or len(symbols) != len(self.counts):
            raise ValueError(f"symbols {symbols.shape} for {len(self.counts)} tables")
        bits = 0.0
        for plane, minimum, counts in zip(symbols, self.minimum, self.counts, strict=True):
            escape = len(counts) - 1
            index = plane.ravel().astype(np.int64) - int(minimum)
            index[(index < 0) | (index > escape)] = escape
            costs = PRECISION - np.log2(counts.astype(np.float64))
            costs[escape] += ESCAPE_BITS
            bits += float(np.bincount(index, minlength=len(counts)) @ costs)
        return bits


def from_probabilities(
    minimum: NDArray[np.int32], probabilities: Sequence[NDArray[np.float64]]
) -> SymbolTables:
    """Tables of the masses that a density gives to the symbols from `minimum` on.

    minimum: first symbol of each channel, (C,).
    probabilities: per channel the masses of minimum, minimum + 1, …; what they lack to one is
        the escape's. Masses that sum to more than one are scaled down.

    Every entry gets one count, the rest is shared out in proportion and rounded by largest
    remainder (the earlier entry first where remainders tie).

    Raises:
        ValueError: masses that are negative or not finite, symbols beyond ±32767.
    """
    counts = tuple(_apportion(np.asarray(masses, np.float64)) for masses in probabilities)
    return SymbolTables(np.asarray(minimum, np.int32), counts)


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> SymbolTables:
    """Tables from a model file's arrays, checked.

    counts: int32, the tables one after the other. minimum, length: int32 (C,), first symbol and
    number of entries of each.

    Raises:
        ValueError: arrays that are missing, of another type, or no valid tables.
    """
    missing = {"counts", "minimum", "length"} - set(arrays)
    if missing:
        raise ValueError(f"the tables lack {', '.join(sorted(missing))}")
    counts, minimum, length = arrays["counts"], arrays["minimum"], arrays["length"]
    if any(array.dtype != np.int32 or array.ndim != 1 for array in (counts, minimum, length)):
        raise ValueError("the arrays of tables must be one-dimensional and int32")
    if (length < 0).any() or int(length.sum(dtype=np.int64)) != counts.size:
        raise ValueError(f"the lengths of the tables do not add up to {counts.size} counts")
    return SymbolTables(minimum, tuple(np.split(counts, np.cumsum(length, dtype=np.int64)[:-1])))


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
