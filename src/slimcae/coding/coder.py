"""The range coder: encode and decode integers with the tables that an entropy model chooses.

This is the only module that imports constriction. docs/format.md ("Symbols") describes the bytes.
"""

import math
from functools import cached_property
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from slimcae.coding.tables import ESCAPE_BITS, PRECISION, SymbolTables
from slimcae.errors import BitstreamError

ESCAPE_OFFSET = 2 ** (ESCAPE_BITS - 1)
MAX_LOSS = math.log2(257 / 256)
"""Largest number of bits that one coder step costs beyond its information content, see below."""

Values = NDArray[np.int16]
Tables = NDArray[np.unsignedinteger[Any]]

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
    """Return an upper bound of the bytes that code `num_symbols` symbols of `bits` information.

    bits: see `EntropyModel.ideal_bits`. Streams are shorter in practice, because a step loses
    0.0001 bits on average, not `MAX_LOSS`.
    """
    steps = num_symbols + bits / ESCAPE_BITS  # each escaped value has at least 16 bits
    return 4 * math.ceil((bits + MAX_LOSS * steps + 1) / 32)


class CoderTables:
    """Tables prepared for the coder; threads and streams may share them."""

    def __init__(self, tables: SymbolTables) -> None:
        self.tables = tables
        self.index_type = np.min_scalar_type(tables.num_tables - 1)  # the smallest sorts fastest
        self.minimum = tables.minimum.astype(np.int16)
        self.escape = (tables.sizes - 1).astype(np.uint16)
        self._models: dict[int, Any] = {}

    def model(self, table: int) -> Any:
        """Return constriction's model of one table."""
        # constriction gives each entry one count and distributes the other 2**24 - n by weight.
        # Weights `count - 1` sum to exactly that, so its table equals ours.
        found = self._models.get(table)
        if found is None:  # two threads may both create it, which is harmless
            weights = self.tables.of(table).astype(np.float64) - 1
            found = constriction.stream.model.Categorical(weights, perfect=False)
            self._models[table] = found
        return found

    @cached_property
    def uniform(self) -> Any:
        """Constriction's model of an escaped value."""
        return constriction.stream.model.Uniform(2**ESCAPE_BITS)

    @cached_property
    def fewest_bits(self) -> NDArray[np.float64]:
        """Bits of the most probable value of each table, escaped values included: (B,)."""
        tables = self.tables
        counts = tables.counts.astype(np.float64)
        counts[tables.starts + tables.sizes - 1] /= 2**ESCAPE_BITS
        bits: NDArray[np.float64] = PRECISION - np.log2(np.maximum.reduceat(counts, tables.starts))
        return bits

    def runs(self, which: Tables) -> tuple[NDArray[np.intp], Tables, list[int], list[int]]:
        """Return the coding order of one part, which groups the values by table.

        which: index of the table of each value, (n,), not empty.

        Returns:
            The positions of the values in coding order, (n,); their tables, (n,); the table of
            each run; the bounds of the runs, from 0 to n.
        """
        which = which.astype(self.index_type, copy=False)
        places = np.argsort(which, kind="stable")
        ordered = which[places]
        # not bincount: its cost grows with the largest index, which a hostile model chooses
        starts = np.flatnonzero(ordered[1:] != ordered[:-1])
        starts += 1
        bounds = [0, *starts.tolist(), len(ordered)]
        return places, ordered, ordered[bounds[:-1]].tolist(), bounds


class StreamEncoder:
    """Writes one stream, one part at a time."""

    def __init__(self, ready: CoderTables) -> None:
        self._ready = ready
        self._encoder = constriction.stream.queue.RangeEncoder()

    def put(self, values: Values, which: Tables) -> None:
        """Encode the values (n,) of one part, each with its table `which` (n,)."""
        if not values.size:
            return
        ready = self._ready
        places, ordered, tables, bounds = ready.runs(which)
        sorted_values = values[places]
        # values below the table wrap around to large numbers, so one comparison covers both sides
        below = (sorted_values - ready.minimum[ordered]).view(np.uint16)
        escape = ready.escape[ordered]
        entries = np.minimum(below, escape)
        escaped = sorted_values[entries == escape]
        indices = entries.astype(np.int32)
        encode, model = self._encoder.encode, ready.model
        for table, start, end in zip(tables, bounds, bounds[1:], strict=False):
            encode(indices[start:end], model(table))
        if escaped.size:
            encode(escaped.astype(np.int32) + ESCAPE_OFFSET, ready.uniform)

    def bytes(self) -> bytes:
        """Return the stream: a whole number of little-endian 32-bit words."""
        return self._encoder.get_compressed().astype("<u4").tobytes()  # type: ignore[no-any-return]


class StreamDecoder:
    """Reads one stream, one part at a time.

    `end` detects most damage, because decoding must end with the last word; the container's
    checksum detects the rest.

    Raises:
        BitstreamError: The length is not a multiple of 4.
    """

    def __init__(self, ready: CoderTables, data: bytes) -> None:
        if len(data) % 4:
            raise BitstreamError(f"{len(data)} bytes of coded symbols: must be a multiple of 4")
        self._ready = ready
        words = np.frombuffer(data, "<u4").astype(np.uint32)
        self._decoder = constriction.stream.queue.RangeDecoder(words)

    def take(self, which: Tables) -> Values:
        """Decode the values (n,) of the next part, whose tables are `which` (n,).

        Raises:
            BitstreamError: No encoder can have produced these bytes.
        """
        if not which.size:
            return np.empty(0, np.int16)
        ready = self._ready
        places, ordered, tables, bounds = ready.runs(which)
        indices = np.empty(len(ordered), np.int32)
        decode, model = self._decoder.decode, ready.model
        try:
            for table, start, end in zip(tables, bounds, bounds[1:], strict=False):
                indices[start:end] = decode(model(table), end - start)
            entries = indices.astype(np.uint16)
            escaped = entries == ready.escape[ordered]
            found = entries.view(np.int16) + ready.minimum[ordered]
            count = int(np.count_nonzero(escaped))
            if count:
                found[escaped] = decode(ready.uniform, count) - ESCAPE_OFFSET
        except AssertionError as error:  # constriction raises it for impossible data
            raise BitstreamError("the coded symbols are damaged") from error
        values = np.empty_like(found)
        values[places] = found
        return values

    def end(self) -> None:
        """Check that the whole stream was decoded.

        Raises:
            BitstreamError: Words are left, or too many were read.
        """
        if not self._decoder.maybe_exhausted():
            raise BitstreamError("the coded symbols do not end where the picture does")
