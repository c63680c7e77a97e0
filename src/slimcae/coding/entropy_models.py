"""Entropy models: what codes the symbols of one width, behind one protocol."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.activity import ARRAYS as ARRAYS
from slimcae.coding.activity import Contexts, from_arrays, to_arrays
from slimcae.coding.coder import SymbolCoder

Symbols = NDArray[np.int16]
Integers = NDArray[np.signedinteger[Any]]


class EntropyModel(Protocol):
    """Codes the symbols of one width, at each of its quantisation steps.

    Symbols are integers (C, H, W), of one tile. All that decides how they are coded is integers,
    so that they decode to the same everywhere. May be shared between threads.
    """

    @property
    def num_channels(self) -> int:
        """C."""

    @property
    def num_steps(self) -> int:
        """Number of quantisation steps."""

    def encode(self, symbols: NDArray[np.integer[Any]], step: int) -> bytes:
        """Return the stream of symbols.

        Raises:
            ValueError: symbols beyond ±32767, not integers, or of another number of channels.
        """

    def decode(self, data: bytes, shape: tuple[int, int, int], step: int) -> Symbols:
        """Return the symbols that `encode` made a stream of.

        Raises:
            BitstreamError: no bytes that `encode` could have made.
        """

    def check_length(self, length: int, shape: tuple[int, int, int], step: int) -> None:
        """Refuse a number of bytes that is no stream's, or too few for symbols of this shape.

        Raises:
            BitstreamError: such a number.
        """

    def ideal_bits(self, symbols: Integers, step: int) -> float:
        """Return the information content of symbols in bits; see `slimcae.coding.coder`."""

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a model file holds of it, by names as in `tables.counts`."""


class TablesModel:
    """An entropy model whose integer tables the activity of places chooses (`Contexts`).

    With one class it is the factorized model of the paper: a table for each channel.
    """

    def __init__(self, steps: tuple[Contexts, ...]) -> None:
        self.steps = steps
        self._coder = cache(lambda step: SymbolCoder(steps[step]))

    @property
    def num_channels(self) -> int:
        """C."""
        return self.steps[0].num_channels

    @property
    def num_steps(self) -> int:
        """Number of quantisation steps."""
        return len(self.steps)

    def encode(self, symbols: NDArray[np.integer[Any]], step: int) -> bytes:
        """Return the stream of symbols."""
        return self._coder(step).encode(symbols)

    def decode(self, data: bytes, shape: tuple[int, int, int], step: int) -> Symbols:
        """Return the symbols of a stream."""
        return self._coder(step).decode(data, shape)

    def check_length(self, length: int, shape: tuple[int, int, int], step: int) -> None:
        """Refuse a number of bytes that cannot hold symbols of this shape."""
        self._coder(step).check_length(length, shape)

    def ideal_bits(self, symbols: Integers, step: int) -> float:
        """Return the information content of symbols in bits."""
        return self.steps[step].ideal_bits(symbols)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a model file holds of it."""
        return dict(to_arrays(self.steps))


def entropy_model_of(arrays: Mapping[str, NDArray[Any]]) -> EntropyModel:
    """Return the entropy model that a model file's arrays describe, checked.

    Raises:
        ValueError: arrays that are missing, of another type, or contradict each other.
    """
    return TablesModel(from_arrays(arrays))
