"""Probabilities as integers: the tables that the entropy coder works with.

Tables are made once, with the model, and travel in its file. Encoder and decoder only ever see
these integers, so that no rounding of any machine can come between them.
"""

from collections.abc import Mapping, Sequence
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
"""What the value of an escaped symbol costs beside its escape."""


@dataclass(frozen=True, eq=False)
class SymbolTables:
    """Integer probabilities of C independent channels, at one quantisation step.

    Entry i of channel c is how often of 2**24 times symbol `minimum[c] + i` is expected. The last
    entry is the escape, which stands for all other symbols.

    minimum: first symbol of each channel, (C,).
    sizes: entries of each channel, the escape included, at least two: (C,).
    counts: the entries of all channels one after the other; each is at least 1, and those of a
        channel sum to 2**24.

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
        sums = np.add.reduceat(self.counts, self._starts, dtype=np.int64)
        if self.counts.min() < 1 or (sums != TOTAL).any():
            raise ValueError(f"the counts of a table must be positive and sum to {TOTAL}")

    @property
    def num_channels(self) -> int:
        """C."""
        return self.sizes.size

    @property
    def _starts(self) -> NDArray[np.int64]:
        """Where each channel's entries begin, (C,)."""
        return np.cumsum(self.sizes, dtype=np.int64) - self.sizes

    def channels(self) -> list[NDArray[np.int32]]:
        """The counts of each channel, as views."""
        return np.split(self.counts, self._starts[1:])

    def ideal_bits(self, symbols: NDArray[np.signedinteger]) -> float:
        """Information content in bits of symbols (C, H, W), escapes included.

        Raises:
            ValueError: symbols of another number of channels.
        """
        if symbols.ndim != 3 or len(symbols) != self.num_channels:
            raise ValueError(f"symbols {symbols.shape} for {self.num_channels} tables")
        escape = (self.sizes - 1)[:, None, None].astype(np.uint32)
        # symbols below a table wrap around to huge numbers: one comparison finds both sides
        entries = np.subtract(symbols, self.minimum[:, None, None], dtype=np.int32).view(np.uint32)
        index = np.minimum(entries, escape) + self._starts[:, None, None]
        return float(self._costs[index].sum())

    @cached_property
    def _costs(self) -> NDArray[np.float64]:
        """Bits of every entry; an escape's with the value behind it."""
        costs: NDArray[np.float64] = PRECISION - np.log2(self.counts)
        costs[self._starts + self.sizes - 1] += ESCAPE_BITS
        return costs


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
    return from_channels(
        minimum, [_apportion(np.asarray(masses, np.float64)) for masses in probabilities]
    )


def from_channels(
    minimum: NDArray[np.int32], channels: Sequence[NDArray[np.int32]]
) -> SymbolTables:
    """Tables of the counts of each channel.

    Raises:
        ValueError: counts that are no valid tables.
    """
    sizes = np.array([len(counts) for counts in channels], np.int32)
    counts = np.concatenate([*channels, np.empty(0, np.int32)])
    return SymbolTables(np.asarray(minimum, np.int32), sizes, counts.astype(np.int32))


def to_arrays(tables: Sequence[SymbolTables]) -> dict[str, NDArray[np.int32]]:
    """The tables of S quantisation steps as three arrays, for a model file: see `from_arrays`."""
    return {
        "counts": np.concatenate([table.counts for table in tables]),
        "minimum": np.stack([table.minimum for table in tables]),
        "length": np.stack([table.sizes for table in tables]),
    }


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> tuple[SymbolTables, ...]:
    """The tables of each quantisation step from a model file's arrays, checked.

    minimum, length: int32 (S, C), first symbol and number of entries of each table.
    counts: int32, the entries step after step, channel after channel.

    Raises:
        ValueError: arrays that are missing, of another type, or no valid tables.
    """
    missing = {"counts", "minimum", "length"} - set(arrays)
    if missing:
        raise ValueError(f"the tables lack {', '.join(sorted(missing))}")
    counts, minimum, length = arrays["counts"], arrays["minimum"], arrays["length"]
    if any(array.dtype != np.int32 for array in (counts, minimum, length)):
        raise ValueError("the arrays of tables must be int32")
    if counts.ndim != 1 or length.ndim != 2 or minimum.shape != length.shape:
        raise ValueError("the arrays of tables contradict each other")
    ends = length.sum(axis=1, dtype=np.int64).cumsum()
    if (length < 0).any() or not ends.size or ends[-1] != counts.size:
        raise ValueError(f"the lengths of the tables do not add up to {counts.size}")
    return tuple(
        SymbolTables(first, sizes, entries)
        for first, sizes, entries in zip(minimum, length, np.split(counts, ends[:-1]), strict=True)
    )


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
