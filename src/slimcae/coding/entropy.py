"""What all entropy models share: symbols to bytes and back, part after part.

An entropy model tells which table codes which symbol. It does so in parts: the tables of a part
depend on the symbols of parts before it only. A kind of model writes one method, `walk`, that
visits the parts in order; encoder, decoder and counter differ in what they do at each visit.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.coder import CoderTables, StreamDecoder, StreamEncoder, Tables, Values
from slimcae.coding.tables import MAX_SYMBOL
from slimcae.errors import BitstreamError

Symbols = NDArray[np.int16]
Shape = tuple[int, int, int]
"""Channels, rows and columns of latents."""
Places = NDArray[np.intp]


class Part(NamedTuple):
    """Symbols that are coded together: their tables depend on the parts before only.

    which: the table of each value, (n,). values: (n,) where they are known.
    channels, places: the part has all symbols of these channels at these places (rows and columns
        counted as one), channel after channel.
    sign: a value is its symbol but for a constant, or with −1 the negative of that: (n,).
    side: the values are side information that follows from the symbols, none of which are here.
    """

    which: Tables
    values: Values | None
    channels: slice = slice(0)
    places: Places | slice = slice(0)
    sign: Values | int = 1
    side: bool = False

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return what an array (C, h, w) has for each value, (n,)."""
        return array.reshape(len(array), -1)[self.channels][:, self.places].reshape(-1)

    def put(self, found: NDArray[Any], array: NDArray[Any]) -> None:
        """Write what there is for each value, (n,), to its place in an array (C, h, w)."""
        rows = array.reshape(len(array), -1)[self.channels]
        rows[:, self.places] = found.reshape(len(rows), -1)


Visit = Callable[[Part], Values]
"""Returns the values of a part: those that it was given, or others in a new array."""


class EntropyModel(ABC):
    """How the symbols (C, h, w) of one tile become bytes, at each quantisation step.

    Never changes, so that threads may share it. A kind with a second set of symbols (a
    hyperprior's) codes it in a part of its own, before all others.
    """

    kind: ClassVar[str]
    """What a model file calls it."""
    num_channels: int
    num_steps: int

    def __init__(self, ready: CoderTables) -> None:
        self._ready = ready
        self.tables = ready.tables

    @abstractmethod
    def walk(self, visit: Visit, shape: Shape, step: int, known: Symbols | None) -> Symbols:
        """Visit the parts of a tile in order, and return its symbols.

        visit: called once for each part. What it returns are the part's values from then on.
        known: all symbols, for whoever has them; they are not changed.
        """

    @abstractmethod
    def fewest_bits(self, step: int) -> float:
        """Return a lower bound of what the symbols of one place (all channels) cost."""

    @abstractmethod
    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the named arrays that a model file keeps of this."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the model of a model file's arrays, checked.

        Raises:
            ValueError: arrays that are missing, unknown, of another type, or contradict each
                other.
        """

    def encode(self, symbols: NDArray[np.integer[Any]], step: int) -> bytes:
        """Return the bytes of symbols (C, h, w): a whole number of little-endian 32-bit words.

        Raises:
            ValueError: symbols beyond ±32767, not integers, or of another number of channels.
        """
        known = self._checked(symbols)
        if not known.size:
            return b""
        encoder = StreamEncoder(self._ready)

        def put(part: Part) -> Values:
            assert part.values is not None
            encoder.put(part.values, part.which)
            return part.values

        self.walk(put, _shape(known), step, known)
        return encoder.bytes()

    def decode(self, data: bytes, shape: Shape, step: int) -> Symbols:
        """Return the symbols of this shape (C, h, w) that `encode` made the bytes of.

        Work and memory are bounded by the shape, and that by the bytes as far as the tables allow.

        Raises:
            BitstreamError: no bytes that `encode` could have made.
            ValueError: a shape of another number of channels.
        """
        self.check_length(len(data), shape, step)
        if not math.prod(shape):
            return np.empty(shape, np.int16)
        decoder = StreamDecoder(self._ready, data)
        symbols = self.walk(lambda part: decoder.take(part.which), shape, step, None)
        decoder.end()
        if symbols.min() < -MAX_SYMBOL:
            raise BitstreamError(f"a coded symbol lies beyond ±{MAX_SYMBOL}")
        return symbols

    def ideal_bits(self, symbols: NDArray[np.integer[Any]], step: int) -> float:
        """Return the information content of symbols (C, h, w) in bits.

        Raises:
            ValueError: as `encode`.
        """
        return sum(float(bits.sum()) for _, bits in self._bits(symbols, step))

    def symbol_bits(self, symbols: NDArray[np.integer[Any]], step: int) -> NDArray[np.float64]:
        """Return the information content of each symbol: (C, h, w), in bits.

        All symbols share what side information costs.

        Raises:
            ValueError: as `encode`.
        """
        found = np.zeros(symbols.shape)
        side = 0.0
        for part, bits in self._bits(symbols, step):
            if part.side:
                side += float(bits.sum())
            else:
                part.put(bits, found)
        return found + side / max(symbols.size, 1)

    def _bits(
        self, symbols: NDArray[np.integer[Any]], step: int
    ) -> list[tuple[Part, NDArray[np.float64]]]:
        """Return each part and the information content of its values."""
        known = self._checked(symbols)
        tables = self.tables
        found: list[tuple[Part, NDArray[np.float64]]] = []

        def add(part: Part) -> Values:
            assert part.values is not None
            found.append((part, tables.costs[tables.entries(part.values, part.which)]))
            return part.values

        if known.size:
            self.walk(add, _shape(known), step, known)
        return found

    def check_length(self, length: int, shape: Shape, step: int) -> None:
        """Refuse a number of bytes that is no stream's, or too few for symbols of this shape.

        Raises:
            BitstreamError: such a number.
            ValueError: a shape of another number of channels.
        """
        self._check_channels(shape)
        num_symbols = math.prod(shape)
        if length % 4:
            raise BitstreamError(f"the coded symbols end within a word ({length} bytes)")
        # one bit is for the rounding of the sums; streams need none (see coder.py)
        too_short = self.fewest_bits(step) * (shape[1] * shape[2]) > 8 * length + 1
        if too_short or (num_symbols > 0) != (length > 0):
            raise BitstreamError(f"{length} bytes cannot hold {num_symbols} coded symbols")

    def _check_channels(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[0] != self.num_channels:
            raise ValueError(f"symbols {shape} for a model of {self.num_channels} channels")

    def _checked(self, symbols: NDArray[np.integer[Any]]) -> Symbols:
        self._check_channels(symbols.shape)
        if not np.issubdtype(symbols.dtype, np.integer):
            raise ValueError(f"symbols must be integers, not {symbols.dtype}")
        if symbols.size and max(-int(symbols.min()), int(symbols.max())) > MAX_SYMBOL:
            raise ValueError(f"symbols must lie within ±{MAX_SYMBOL}")
        return symbols.astype(np.int16, copy=False)


def _shape(symbols: NDArray[np.integer[Any]]) -> Shape:
    channels, height, width = symbols.shape
    return channels, height, width


def required(arrays: Mapping[str, NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
    """Return the arrays of these names, in their order.

    Raises:
        ValueError: arrays that are missing or have other names.
    """
    for name in sorted(set(names) ^ set(arrays)):
        raise ValueError(f"array {name} is {'missing' if name in names else 'unknown'}")
    return [arrays[name] for name in names]
