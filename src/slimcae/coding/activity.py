"""Entropy models of kind `tables`: the activity of a place chooses its table.

The channels of a tile are coded in groups, in order. The activity of a place in the groups coded
so far predicts the size of its symbols in the next group. Thresholds on the activity give each
place a class, and channel and class together choose a table. All arithmetic is integer, so encoder
and decoder agree exactly. docs/format.md, "Kind `tables`".
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.coder import CoderTables
from slimcae.coding.entropy import EntropyModel, Part, Shape, Symbols, Visit, required
from slimcae.coding.tables import SymbolTables

LARGEST = 2
"""Largest contribution of a symbol to the activity of its place."""
CENTRE = 9
"""Extra weight of the place itself, in addition to its 3×3 neighbourhood (weight 1 each)."""

AnySymbols = NDArray[np.signedinteger[Any]]
Integers = NDArray[np.int32]


class Activity:
    """Activity of every place of a tile of `height` × `width` latents, over the channels so far."""

    def __init__(self, height: int, width: int) -> None:
        self._framed = np.zeros((height + 2, width + 2), np.int32)

    def add(self, symbols: AnySymbols) -> None:
        """Add the symbols of further channels, (C, height, width)."""
        sizes = np.minimum(np.abs(symbols.astype(np.int32, copy=False)), LARGEST)
        self._framed[1:-1, 1:-1] += sizes.sum(axis=0, dtype=np.int32)

    def values(self) -> Integers:
        """Return the activity (height, width) over 3×3 neighbourhoods; edges are replicated."""
        framed = self._framed
        framed[0], framed[-1] = framed[1], framed[-2]
        framed[:, 0], framed[:, -1] = framed[:, 1], framed[:, -2]
        rows = framed[:-2] + framed[1:-1] + framed[2:]
        around: Integers = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
        return CENTRE * framed[1:-1, 1:-1] + around


def activities(symbols: AnySymbols, groups: Sequence[int]) -> Iterator[tuple[slice, Integers]]:
    """Yield the channels of each group with the activity from the groups before it.

    symbols: (C, height, width), not empty. groups: number of channels of each group.
    """
    activity = Activity(*symbols.shape[1:])
    for channels in slices(groups):
        yield channels, activity.values()
        activity.add(symbols[channels])


def slices(groups: Sequence[int]) -> list[slice]:
    """Return the slice of channels of each group."""
    ends = np.cumsum(groups).tolist()
    return [slice(end - size, end) for end, size in zip(ends, groups, strict=True)]


class TablesModel(EntropyModel):
    """An entropy model with B tables, C channels in G groups, K classes and S steps.

    groups: number of channels of each group.
    thresholds: (S, G, K − 1) int32, not decreasing along the last axis. The class of a place is
        the number of `thresholds[s, g]` that are at most its activity.
    choice: (S, C, K) int32: index of the table for each channel and class. Every table is chosen
        at least once.

    Raises:
        ValueError: The arrays are inconsistent.
    """

    kind = "tables"

    def __init__(
        self,
        tables: SymbolTables,
        groups: tuple[int, ...],
        thresholds: Integers,
        choice: Integers,
    ) -> None:
        _check(tables, groups, thresholds, choice)
        super().__init__(CoderTables(tables))
        self.groups = groups
        self.thresholds = thresholds
        self.choice = choice
        self.num_steps, self.num_channels, _ = choice.shape
        self._slices = slices(groups)
        self._small_choice = choice.astype(self._ready.index_type)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "TablesModel":
        """Build and validate the model from the arrays of a model file, see `to_arrays`.

        Raises:
            ValueError: Arrays are missing, of the wrong type, or inconsistent.
        """
        names = ("minimum", "length", "counts", "groups", "thresholds", "choice")
        minimum, length, counts, groups, thresholds, choice = required(arrays, names)
        if groups.dtype != np.int32 or groups.ndim != 1:
            raise ValueError("groups must be one-dimensional and int32")
        sizes = tuple(groups.tolist())
        return cls(SymbolTables(minimum, length, counts), sizes, thresholds, choice)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the named arrays that a model file stores."""
        return {
            "minimum": self.tables.minimum,
            "length": self.tables.sizes,
            "counts": self.tables.counts,
            "groups": np.array(self.groups, np.int32),
            "thresholds": self.thresholds,
            "choice": self.choice,
        }

    def fewest_bits(self, step: int) -> float:
        """Return a lower bound of the bits that one place costs, over all channels."""
        return float(self._ready.fewest_bits[self.choice[step]].min(axis=1).sum())

    def chosen(self, step: int, group: int, activity: Integers) -> NDArray[Any]:
        """Return the index of the table of each symbol of a group, (channels, height, width)."""
        classes = np.searchsorted(self.thresholds[step, group], activity, side="right")
        return self._small_choice[step, self._slices[group]][:, classes]

    def walk(self, visit: Visit, shape: Shape, step: int, known: Symbols | None) -> Symbols:
        """Visit one part per group, see `EntropyModel.walk`."""
        symbols = np.empty(shape, np.int16) if known is None else known
        own = known is None
        activity = Activity(*shape[1:])
        for group, channels in enumerate(self._slices):
            which = self.chosen(step, group, activity.values()).reshape(-1)
            values = None if known is None else known[channels].reshape(-1)
            found = visit(Part(which, values, channels, slice(None)))
            if found is not values:
                symbols, own = symbols if own else symbols.copy(), True
                symbols[channels] = found.reshape(symbols[channels].shape)
            if channels.stop < shape[0]:
                activity.add(symbols[channels])
        return symbols


def _check(
    tables: SymbolTables, groups: tuple[int, ...], thresholds: Integers, choice: Integers
) -> None:
    if thresholds.dtype != np.int32 or choice.dtype != np.int32:
        raise ValueError("thresholds and choice must be int32")
    if choice.ndim != 3 or not choice.size:
        raise ValueError("choice must have the axes steps, channels and classes, none of them 0")
    steps, channels, classes = choice.shape
    if min(groups, default=0) < 1 or sum(groups) != channels:
        have = f"{len(groups)} groups of {sum(groups)} channels"
        raise ValueError(f"{have} in total: must be groups of 1 or more, {channels} in total")
    if thresholds.shape != (steps, len(groups), classes - 1):
        raise ValueError(
            f"thresholds have shape {thresholds.shape} for {steps} steps, {len(groups)} groups "
            f"and {classes} classes"
        )
    if (thresholds[..., 1:] < thresholds[..., :-1]).any():
        raise ValueError("thresholds must not decrease")
    if choice.min() < 0 or choice.max() >= tables.num_tables:
        raise ValueError(f"choice must be from 0 to {tables.num_tables - 1}, an index of a table")
    if not np.bincount(choice.ravel(), minlength=tables.num_tables).all():
        raise ValueError("choice must use every table at least once")
