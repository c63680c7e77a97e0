"""The range coder: planes of symbols to bytes and back, by integer tables.

The only module that knows constriction. docs/format.md ("Symbols") describes the bytes.
"""

import math
from functools import cached_property
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from slimcae.coding.tables import ESCAPE_BITS, MAX_SYMBOL, PRECISION, SymbolTables
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

    bits: see `SymbolTables.ideal_bits`. In practice a stream is shorter: a step costs 0.0001 bits
    on average, not `MAX_LOSS`.
    """
    steps = num_symbols + bits / ESCAPE_BITS  # each value behind an escape has at least 16 bits
    return 4 * math.ceil((bits + MAX_LOSS * steps + 1) / 32)


class SymbolCoder:
    """Codes symbols (C, H, W) with the tables of C channels; may be shared between threads."""

    def __init__(self, tables: SymbolTables) -> None:
        self._counts = tables.channels()
        self._minimum = np.array(tables.minimum, np.int32)[:, None]
        self._escape = np.array([[len(counts) - 1] for counts in self._counts], np.uint32)
        # what the likeliest symbol of every channel costs, together
        self._fewest_bits = sum(map(_fewest_bits, self._counts))

    @cached_property
    def _models(self) -> list[Any]:
        # constriction gives each entry one count and shares out the other 2**24 - n by weight.
        # Weights of `count - 1` sum to just that, so its table equals ours.
        categorical = constriction.stream.model.Categorical
        return [categorical(c.astype(np.float64) - 1, perfect=False) for c in self._counts]

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
        if symbols.size and max(-int(symbols.min()), int(symbols.max())) > MAX_SYMBOL:
            raise ValueError(f"symbols must lie within ±{MAX_SYMBOL}")
        encoder = constriction.stream.queue.RangeEncoder()
        planes = symbols.astype(np.int32).reshape(len(symbols), math.prod(symbols.shape[1:]))
        # symbols below the table wrap around to huge numbers: one comparison finds both sides
        entries = np.minimum((planes - self._minimum).view(np.uint32), self._escape)
        escaped = entries == self._escape
        escapes = escaped.any(axis=1)
        for channel, model in enumerate(self._models):
            encoder.encode(entries[channel].view(np.int32), model)
            if escapes[channel]:
                values = planes[channel, escaped[channel]]
                encoder.encode(values + ESCAPE_OFFSET, self._uniform)
        return encoder.get_compressed().astype("<u4").tobytes()  # type: ignore[no-any-return]

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
        channels, height, width = shape
        symbols = np.empty((channels, height * width), np.int16)
        decoder = constriction.stream.queue.RangeDecoder(
            np.frombuffer(data, "<u4").astype(np.uint32)
        )
        try:
            for channel in range(channels):
                symbols[channel] = self._decode_plane(decoder, channel, height * width)
        except AssertionError as error:  # how constriction reports impossible data
            raise BitstreamError("the coded symbols are damaged") from error
        if not decoder.maybe_exhausted():
            raise BitstreamError("the coded symbols do not end where the picture does")
        return symbols.reshape(shape)

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

    def _decode_plane(self, decoder: Any, channel: int, size: int) -> NDArray[np.int32]:
        plane: NDArray[np.int32] = decoder.decode(self._models[channel], size)
        escaped = plane == len(self._counts[channel]) - 1
        plane += self._minimum[channel, 0]
        count = int(np.count_nonzero(escaped))
        if count:
            values = decoder.decode(self._uniform, count) - ESCAPE_OFFSET
            if values.min() < -MAX_SYMBOL:
                raise BitstreamError(f"a coded symbol lies beyond ±{MAX_SYMBOL}")
            plane[escaped] = values
        return plane

    def _check_channels(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[0] != len(self._counts):
            raise ValueError(f"symbols {shape} for tables of {len(self._counts)} channels")


def _fewest_bits(counts: NDArray[np.int32]) -> float:
    """What the likeliest symbol of one channel costs; an escape has its value beside it."""
    likeliest = max(int(counts[:-1].max()), int(counts[-1]) / 2**ESCAPE_BITS)
    return PRECISION - math.log2(likeliest)
