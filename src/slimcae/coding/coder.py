"""The range coder: symbols to bytes and back, by integer tables that contexts choose.

The only module that knows constriction. docs/format.md ("Symbols") describes the bytes.
"""

import math
from functools import cached_property
from typing import Any, NamedTuple

import constriction
import numpy as np
from numpy.typing import NDArray

from slimcae.coding.activity import Activity, Contexts, Integers, walk
from slimcae.coding.tables import ESCAPE_BITS, MAX_SYMBOL, PRECISION
from slimcae.errors import BitstreamError

ESCAPE_OFFSET = 2 ** (ESCAPE_BITS - 1)
MAX_LOSS = math.log2(257 / 256)
"""Bits that one step of the coder can cost beyond its information content, see below."""

Symbols = NDArray[np.int16]

# How long a stream is. The coder's `range` starts at 2**64 - 1 and lies in [2**32, 2**64) before
# every step; a step with count n makes it floor(range / 2**24) * n and, when that is below 2**32,
# shifts 32 bits in. So after symbols of I bits, with W words shifted,
#     I + loss = 32 W + log2((2**64 - 1) / range),
# where a step's loss is log2(x / floor(x)), x = range / 2**24 >= 256: less than log2(257 / 256).
# The end adds one word, or two if range < 2**33 - 1 (docs/format.md, "End of the stream").
# - The last logarithm is below 32, the loss not negative: I < 32 (W + 1) <= the stream's bits.
# - With one word more, bits = 32 (W + 1) < I + loss + 32. With two, the logarithm is above 31,
#   hence bits = 32 (W + 2) < I + loss + 33. Bits are a multiple of 32, so in either case
#   bits <= 32 ceil((I + loss + 1) / 32).


def longest_stream(bits: float, num_symbols: int) -> int:
    """The most bytes that `num_symbols` symbols of so much information can take in one stream.

    bits: see `Contexts.ideal_bits`. In practice a stream is shorter: a step costs 0.0001 bits
    on average, not `MAX_LOSS`.
    """
    steps = num_symbols + bits / ESCAPE_BITS  # each value behind an escape has at least 16 bits
    return 4 * math.ceil((bits + MAX_LOSS * steps + 1) / 32)


class _Order(NamedTuple):
    """In which order a group's symbols are coded: those of one table after those of another."""

    places: NDArray[np.intp]
    """The place of each in channels, rows and columns."""
    tables: NDArray[np.intp]
    """The tables that are used, ascending."""
    sizes: NDArray[np.intp]
    """How many symbols each of them has."""


class SymbolCoder:
    """Codes symbols (C, H, W) by the contexts of C channels; may be shared between threads."""

    def __init__(self, contexts: Contexts) -> None:
        self._contexts = contexts
        self._tables = contexts.tables
        self._escape = (contexts.tables.sizes - 1).astype(np.uint32)
        self._models: dict[int, Any] = {}
        # what the likeliest symbol of every channel costs in its best class, together
        used = np.flatnonzero(np.bincount(contexts.choice.ravel()))  # np.unique imports numpy.ma
        fewest = np.array([_fewest_bits(self._tables.of(table)) for table in used.tolist()])
        self._fewest_bits = fewest[np.searchsorted(used, contexts.choice)].min(axis=1).sum()

    def _model(self, table: int) -> Any:
        # constriction gives each entry one count and shares out the other 2**24 - n by weight.
        # Weights of `count - 1` sum to just that, so its table equals ours.
        if table not in self._models:  # two threads may both make it
            weights = self._tables.of(table).astype(np.float64) - 1
            self._models[table] = constriction.stream.model.Categorical(weights, perfect=False)
        return self._models[table]

    @cached_property
    def _uniform(self) -> Any:
        return constriction.stream.model.Uniform(2**ESCAPE_BITS)

    def encode(self, symbols: NDArray[np.integer[Any]]) -> bytes:
        """The bytes of symbols (C, H, W): a whole number of little-endian 32-bit words.

        Raises:
            ValueError: symbols beyond ±32767, not integers, or of another number of channels.
        """
        self._check_channels(symbols.shape)
        if not np.issubdtype(symbols.dtype, np.integer):
            raise ValueError(f"symbols must be integers, not {symbols.dtype}")
        if not symbols.size:
            return b""
        if max(-int(symbols.min()), int(symbols.max())) > MAX_SYMBOL:
            raise ValueError(f"symbols must lie within ±{MAX_SYMBOL}")
        encoder = constriction.stream.queue.RangeEncoder()
        whole = symbols.astype(np.int16, copy=False)
        for group, (channels, activity) in enumerate(walk(whole, self._contexts.groups)):
            self._encode_group(encoder, whole[channels], self._order(group, activity))
        return encoder.get_compressed().astype("<u4").tobytes()  # type: ignore[no-any-return]

    def _encode_group(self, encoder: Any, symbols: Symbols, order: _Order) -> None:
        _, tables, sizes = order
        values = symbols.reshape(-1)[order.places].astype(np.int32)
        # symbols below the table wrap around to huge numbers: one comparison finds both sides
        below = (values - np.repeat(self._tables.minimum[tables], sizes)).view(np.uint32)
        escape = np.repeat(self._escape[tables], sizes)
        entries = np.minimum(below, escape)
        escaped = entries == escape
        starts = np.cumsum(sizes) - sizes
        any_escaped = np.logical_or.reduceat(escaped, starts).tolist()
        runs = zip(tables.tolist(), starts.tolist(), sizes.tolist(), any_escaped, strict=True)
        for table, start, size, some in runs:
            run = slice(start, start + size)
            encoder.encode(entries[run].view(np.int32), self._model(table))
            if some:
                encoder.encode(values[run][escaped[run]] + ESCAPE_OFFSET, self._uniform)

    def decode(self, data: bytes, shape: tuple[int, int, int]) -> Symbols:
        """The symbols of this shape (C, H, W) that `encode` made the bytes of.

        Work and memory are bounded by the shape, and that by the bytes as far as the tables
        allow. Most damage shows at the end, which the decoder must reach with the last word; the
        container's checksum finds all.

        Raises:
            BitstreamError: no bytes that `encode` could have made.
            ValueError: a shape of another number of channels.
        """
        self.check_length(len(data), shape)
        symbols = np.empty(shape, np.int16)
        if not symbols.size:
            return symbols
        decoder = constriction.stream.queue.RangeDecoder(
            np.frombuffer(data, "<u4").astype(np.uint32)
        )
        activity = Activity(*shape[1:])
        try:
            for group, channels in enumerate(self._contexts.slices):
                part = symbols[channels]
                order = self._order(group, activity.values())
                part.reshape(-1)[order.places] = self._decode_group(decoder, order)
                activity.add(part)
        except AssertionError as error:  # how constriction reports impossible data
            raise BitstreamError("the coded symbols are damaged") from error
        if not decoder.maybe_exhausted():
            raise BitstreamError("the coded symbols do not end where the picture does")
        return symbols

    def _decode_group(self, decoder: Any, order: _Order) -> Integers:
        values = np.empty(order.places.size, np.int32)
        start = 0
        for table, size in zip(order.tables.tolist(), order.sizes.tolist(), strict=True):
            values[start : start + size] = self._decode_run(decoder, table, size)
            start += size
        return values

    def _decode_run(self, decoder: Any, table: int, size: int) -> Integers:
        run: Integers = decoder.decode(self._model(table), size)
        escaped = run == int(self._escape[table])
        run += self._tables.minimum[table]
        count = int(np.count_nonzero(escaped))
        if count:
            values = decoder.decode(self._uniform, count) - ESCAPE_OFFSET
            if values.min() < -MAX_SYMBOL:
                raise BitstreamError(f"a coded symbol lies beyond ±{MAX_SYMBOL}")
            run[escaped] = values
        return run

    def _order(self, group: int, activity: Integers) -> _Order:
        tables = self._contexts.chosen(group, activity).reshape(-1)
        places = np.argsort(tables, kind="stable")
        ordered = tables[places]
        # not bincount: its work is that of the largest number, which a hostile model chooses
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        return _Order(places, ordered[starts].astype(np.intp), np.diff(starts, append=len(ordered)))

    def check_length(self, length: int, shape: tuple[int, int, int]) -> None:
        """Refuse a number of bytes that is no stream's, or too few for symbols of this shape.

        Raises:
            BitstreamError: such a number.
            ValueError: a shape of another number of channels.
        """
        self._check_channels(shape)
        num_symbols = math.prod(shape)
        if length % 4:
            raise BitstreamError(f"the coded symbols end within a word ({length} bytes)")
        # one bit is for the rounding of the sums; streams need none (see the top)
        too_short = self._fewest_bits * (shape[1] * shape[2]) > 8 * length + 1
        if too_short or (num_symbols > 0) != (length > 0):
            raise BitstreamError(f"{length} bytes cannot hold {num_symbols} coded symbols")

    def _check_channels(self, shape: tuple[int, ...]) -> None:
        have = self._contexts.num_channels
        if len(shape) != 3 or shape[0] != have:
            raise ValueError(f"symbols {shape} for contexts of {have} channels")


def _fewest_bits(counts: NDArray[np.int32]) -> float:
    """What the likeliest symbol of one table costs; an escape has its value beside it."""
    likeliest = max(int(counts[:-1].max()), int(counts[-1]) / 2**ESCAPE_BITS)
    return PRECISION - math.log2(likeliest)
