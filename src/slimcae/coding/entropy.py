"""The base class of entropy models: encoding and decoding of symbols, one part at a time.

An entropy model chooses a probability table for each symbol. It works in parts: the tables of a
part depend only on symbols of earlier parts. Each kind of model implements one method, `walk`,
which visits the parts in order; encoder, decoder and counter pass different visitors.
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
    """Symbols that are coded together; their tables depend only on earlier parts.

    which: index of the table of each value, (n,). values: (n,), None while decoding.
    channels, places: the part holds the symbols of these channels at these places (flat indices
        over rows and columns), in channel-major order.
    sign: +1 if value = symbol − centre, −1 if value = centre − symbol: (n,) or one number.
    side: True if the values are side information derived from the symbols, not symbols.
    """

    which: Tables
    values: Values | None
    channels: slice = slice(0)
    places: Places | slice = slice(0)
    sign: Values | int = 1
    side: bool = False

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """Gather the entries of an array (C, h, w) at the places of this part, (n,)."""
        return array.reshape(len(array), -1)[self.channels][:, self.places].reshape(-1)

    def put(self, found: NDArray[Any], array: NDArray[Any]) -> None:
        """Scatter one entry per value, (n,), to the places of this part in an array (C, h, w)."""
        rows = array.reshape(len(array), -1)[self.channels]
        rows[:, self.places] = found.reshape(len(rows), -1)


Visit = Callable[[Part], Values]
"""Called with a part; returns its values, either the same array or a new one."""


class EntropyModel(ABC):
    """Codes the symbols (C, h, w) of one tile at any of the model's quantisation steps.

    Immutable, so threads may share it. A kind with side information (the hyperprior) codes it as
    the first part.
    """

    kind: ClassVar[str]
    """Name of this kind in model files."""
    num_channels: int
    num_steps: int

    def __init__(self, ready: CoderTables) -> None:
        self._ready = ready
        self.tables = ready.tables

    @abstractmethod
    def walk(self, visit: Visit, shape: Shape, step: int, known: Symbols | None) -> Symbols:
        """Visit the parts of a tile in order, and return its symbols.

        visit: called once per part; the values that it returns replace those of the part.
        known: all symbols, or None while decoding. The array is not modified.
        """

    @abstractmethod
    def fewest_bits(self, step: int) -> float:
        """Return a lower bound of the bits that one place costs, over all channels."""

    @abstractmethod
    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the named arrays that a model file stores."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Build and validate the model from the arrays of a model file.

        Raises:
            ValueError: Arrays are missing, unknown, of the wrong type, or inconsistent.
        """

    def encode(self, symbols: NDArray[np.integer[Any]], step: int) -> bytes:
        """Encode symbols (C, h, w) to bytes: a whole number of little-endian 32-bit words.

        Raises:
            ValueError: Symbols are beyond ±32767, not integers, or have the wrong number of
                channels.
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
        """Decode the symbols (C, h, w) that `encode` turned into `data`.

        The shape bounds work and memory. `check_length` rejects shapes that are too large for the
        number of bytes.

        Raises:
            BitstreamError: `encode` cannot have produced these bytes.
            ValueError: The shape has the wrong number of channels.
        """
        self.check_length(len(data), shape, step)
        if not math.prod(shape):
            return np.empty(shape, np.int16)
        decoder = StreamDecoder(self._ready, data)
        symbols = self.walk(lambda part: decoder.take(part.which), shape, step, None)
        decoder.end()
        if symbols.min() < -MAX_SYMBOL:
            raise BitstreamError(f"a coded symbol is beyond ±{MAX_SYMBOL}")
        return symbols

    def ideal_bits(self, symbols: NDArray[np.integer[Any]], step: int) -> float:
        """Return the information content of symbols (C, h, w) in bits.

        Raises:
            ValueError: as `encode`.
        """
        return sum(float(bits.sum()) for _, bits in self._bits(symbols, step))

    def symbol_bits(self, symbols: NDArray[np.integer[Any]], step: int) -> NDArray[np.float64]:
        """Return the information content of each symbol: (C, h, w), in bits.

        The bits of side information are spread evenly over all symbols.

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
        """Return each part with the information content of its values."""
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
        """Check that a stream of `length` bytes can hold symbols of this shape.

        Raises:
            BitstreamError: The length is not a multiple of 4, or too small.
            ValueError: The shape has the wrong number of channels.
        """
        self._check_channels(shape)
        num_symbols = math.prod(shape)
        if length % 4:
            raise BitstreamError(f"{length} bytes of coded symbols: must be a multiple of 4")
        # one bit of margin for the rounding of the sums; streams need none (see coder.py)
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
    """Return the arrays of these names, in this order.

    Raises:
        ValueError: An array is missing, or there are others.
    """
    for name in sorted(set(names) ^ set(arrays)):
        raise ValueError(f"array {name} is {'missing' if name in names else 'unknown'}")
    return [arrays[name] for name in names]
