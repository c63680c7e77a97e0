"""Which table codes which symbol: contexts of what is known before.

The channels of a tile are coded in groups, the first ones first. How active a place is in the
groups before tells much about the next one: where they are quiet, it will be. So each place gets
a class by thresholds on its activity, and channel and class together choose one of the tables.
All of it is integers: encoder and decoder agree exactly. docs/format.md, "Symbols".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.tables import SymbolTables

LARGEST = 2
"""A symbol adds to the activity of its place as much as its size, but no more than this."""
CENTRE = 9
"""How much more the place itself counts than each of the nine at and around it."""

ARRAYS = (
    "tables.counts",
    "tables.minimum",
    "tables.length",
    "contexts.groups",
    "contexts.thresholds",
    "contexts.choice",
)
"""What a model file holds of each width: see `from_arrays`."""

AnySymbols = NDArray[np.signedinteger[Any]]
Integers = NDArray[np.int32]


class Activity:
    """What the channels so far say of every place of a tile of `height` × `width` latents."""

    def __init__(self, height: int, width: int) -> None:
        self._framed = np.zeros((height + 2, width + 2), np.int32)

    def add(self, symbols: AnySymbols) -> None:
        """Count further channels, (C, height, width)."""
        self._framed[1:-1, 1:-1] += np.minimum(np.abs(symbols), LARGEST).sum(axis=0, dtype=np.int32)

    def values(self) -> Integers:
        """(height, width): each place with its neighbours; those beyond the edge are the edge's."""
        framed = self._framed
        framed[0], framed[-1] = framed[1], framed[-2]
        framed[:, 0], framed[:, -1] = framed[:, 1], framed[:, -2]
        rows = framed[:-2] + framed[1:-1] + framed[2:]
        around: Integers = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
        return CENTRE * framed[1:-1, 1:-1] + around


def walk(symbols: AnySymbols, groups: Sequence[int]) -> Iterator[tuple[slice, Integers]]:
    """The channels of each group, and the activity that the groups before leave for it.

    symbols: (C, height, width), not empty. groups: number of channels of each.
    """
    activity = Activity(*symbols.shape[1:])
    for channels in slices(groups):
        yield channels, activity.values()
        activity.add(symbols[channels])


def slices(groups: Sequence[int]) -> list[slice]:
    """The channels of each group."""
    ends = np.cumsum(groups).tolist()
    return [slice(end - size, end) for end, size in zip(ends, groups, strict=True)]


@dataclass(frozen=True, eq=False)
class Contexts:
    """How the symbols of C channels are coded at one quantisation step.

    tables: B tables.
    groups: number of channels of each of the G groups.
    thresholds: (G, K − 1), not falling along a row: a place of group g has the class that is the
        number of `thresholds[g]` which its activity reaches.
    choice: (C, K): which table codes a channel's symbols at places of a class.

    Raises:
        ValueError: arrays that contradict each other.
    """

    tables: SymbolTables
    groups: tuple[int, ...]
    thresholds: Integers
    choice: Integers

    def __post_init__(self) -> None:
        if self.thresholds.dtype != np.int32 or self.choice.dtype != np.int32:
            raise ValueError("thresholds and choices of contexts must be int32")
        if self.choice.ndim != 2 or not self.choice.size:
            raise ValueError("contexts without channels or classes")
        channels, classes = self.choice.shape
        if min(self.groups, default=0) < 1 or sum(self.groups) != channels:
            have = f"{len(self.groups)} groups of {sum(self.groups)} channels"
            raise ValueError(f"{have} in all, which are {channels}")
        if self.thresholds.shape != (len(self.groups), classes - 1):
            raise ValueError(f"thresholds {self.thresholds.shape} for {classes} classes")
        if (self.thresholds[:, 1:] < self.thresholds[:, :-1]).any():
            raise ValueError("thresholds that fall")
        if self.choice.min() < 0 or self.choice.max() >= self.tables.num_tables:
            raise ValueError(f"a choice beyond the {self.tables.num_tables} tables")

    @property
    def num_channels(self) -> int:
        """C."""
        return len(self.choice)

    @cached_property
    def slices(self) -> list[slice]:
        """The channels of each group."""
        return slices(self.groups)

    @cached_property
    def _small_choice(self) -> NDArray[np.unsignedinteger[Any]]:
        """In the smallest type, which sorts fastest."""
        return self.choice.astype(np.min_scalar_type(self.tables.num_tables))

    def chosen(self, group: int, activity: Integers) -> NDArray[np.unsignedinteger[Any]]:
        """The table of each symbol of a group: (channels, height, width)."""
        classes = np.searchsorted(self.thresholds[group], activity, side="right")
        return self._small_choice[self.slices[group]][:, classes]

    def ideal_bits(self, symbols: AnySymbols) -> float:
        """Information content in bits of symbols (C, H, W), escapes included.

        Raises:
            ValueError: symbols of another number of channels.
        """
        if symbols.ndim != 3 or len(symbols) != self.num_channels:
            raise ValueError(f"symbols {symbols.shape} for {self.num_channels} channels")
        if not symbols.size:
            return 0.0
        bits = 0.0
        for group, (channels, activity) in enumerate(walk(symbols, self.groups)):
            where = self.tables.entries(symbols[channels], self.chosen(group, activity))
            bits += float(self.tables.costs[where].sum())
        return bits


def independent(tables: SymbolTables, first: int = 0, channels: int | None = None) -> Contexts:
    """Contexts that tell nothing: channel c has table first + c, everywhere.

    channels: number of them; as many as there are tables, unless given.
    """
    choice = np.arange(channels or tables.num_tables, dtype=np.int32)[:, None] + np.int32(first)
    return Contexts(tables, (len(choice),), np.empty((1, 0), np.int32), choice)


def to_arrays(steps: Sequence[Contexts]) -> dict[str, Integers]:
    """The contexts of S quantisation steps, which share tables and groups, for a model file."""
    tables, groups = steps[0].tables, steps[0].groups
    arrays = (
        tables.counts,
        tables.minimum,
        tables.sizes,
        np.array(groups, np.int32),
        np.stack([contexts.thresholds for contexts in steps]),
        np.stack([contexts.choice for contexts in steps]),
    )
    return dict(zip(ARRAYS, arrays, strict=True))


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> tuple[Contexts, ...]:
    """The contexts of each quantisation step from a model file's arrays, checked.

    tables.minimum, tables.length: int32 (B). tables.counts: int32, table after table.
    contexts.groups: int32 (G). contexts.thresholds: int32 (S, G, K − 1).
    contexts.choice: int32 (S, C, K).

    Raises:
        ValueError: arrays that are missing, of another type, or no valid contexts.
    """
    missing = set(ARRAYS) - set(arrays)
    if missing:
        raise ValueError(f"the model lacks {', '.join(sorted(missing))}")
    counts, minimum, length, groups, thresholds, choice = (arrays[name] for name in ARRAYS)
    if any(array.dtype != np.int32 for array in arrays.values()):
        raise ValueError("the arrays of tables and contexts must be int32")
    if groups.ndim != 1 or thresholds.ndim != 3 or choice.ndim != 3:
        raise ValueError("the arrays of contexts have the wrong dimensions")
    if len(thresholds) != len(choice) or not len(choice):
        raise ValueError(f"thresholds of {len(thresholds)} steps, choices of {len(choice)}")
    tables = SymbolTables(minimum, length, counts)
    sizes = tuple(groups.tolist())
    steps = tuple(
        Contexts(tables, sizes, bounds, chosen)
        for bounds, chosen in zip(thresholds, choice, strict=True)
    )
    if not np.bincount(choice.ravel(), minlength=tables.num_tables).all():
        raise ValueError("tables that nothing chooses")
    return steps
