"""The range coder: planes of symbols to bytes and back, by integer tables.

The only module that knows constriction. docs/format.md ("Symbols") describes the bytes.
"""

from functools import cached_property
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from slimcae.coding.tables import ESCAPE_BITS, MAX_SYMBOL, SymbolTables
from slimcae.errors import BitstreamError

ESCAPE_OFFSET = 2 ** (ESCAPE_BITS - 1)

Symbols = NDArray[np.int32]


class SymbolCoder:
    """Codes symbols (C, H, W) with the tables of C channels; may be shared between threads."""

    def __init__(self, tables: SymbolTables) -> None:
        self._minimum = tables.minimum.astype(np.int32)[:, None, None]
        self._escape = tables.sizes - 1
        self._counts = tables.channels()

    @cached_property
    def _models(self) -> list[Any]:
        # constriction gives each entry one count and shares out the other 2**24 - n by weight.
        # Weights of `count - 1` sum to just that, so its table equals ours.
        categorical = constriction.stream.model.Categorical
        return [categorical(c.astype(np.float64) - 1, perfect=False) for c in self._counts]

    @cached_property
    def _uniform(self) -> Any:
        return constriction.stream.model.Uniform(2**ESCAPE_BITS)

    def encode(self, symbols: Symbols) -> bytes:
        """The bytes of symbols (C, H, W): a whole number of little-endian 32-bit words.

        Raises:
            ValueError: symbols beyond ±32767, not integers, or of another number of channels.
        """
        self._check_channels(symbols.shape)
        if not np.issubdtype(symbols.dtype, np.integer):
            raise ValueError(f"symbols must be integers, not {symbols.dtype}")
        if symbols.size and max(-int(symbols.min()), int(symbols.max())) > MAX_SYMBOL:
            raise ValueError(f"symbols must lie within ±{MAX_SYMBOL}")
        symbols = symbols.astype(np.int32, copy=False)
        escape = self._escape.astype(np.uint32)[:, None, None]
        # symbols below the table wrap around to huge numbers: one comparison finds both sides
        entries = np.minimum((symbols - self._minimum).view(np.uint32), escape)
        has_escapes = (entries == escape).any(axis=(1, 2))
        planes = entries.view(np.int32).reshape(len(symbols), -1)
        encoder = constriction.stream.queue.RangeEncoder()
        for channel, model in enumerate(self._models):
            encoder.encode(planes[channel], model)
            if has_escapes[channel]:
                escaped = symbols[channel].ravel()[planes[channel] == self._escape[channel]]
                encoder.encode(escaped + ESCAPE_OFFSET, self._uniform)
        return encoder.get_compressed().astype("<u4").tobytes()  # type: ignore[no-any-return]

    def decode(self, data: bytes, shape: tuple[int, int, int]) -> Symbols:
        """The symbols of this shape (C, H, W) that `encode` made the bytes of.

        Work and memory are bounded by the shape, whatever the bytes. Most damage shows at the
        end, which the decoder must reach with the last word; the container's checksum finds all.

        Raises:
            BitstreamError: no bytes that `encode` could have made.
            ValueError: a shape of another number of channels.
        """
        self._check_channels(shape)
        if len(data) % 4:
            raise BitstreamError(f"the coded symbols end within a word ({len(data)} bytes)")
        channels, height, width = shape
        symbols = np.empty((channels, height * width), np.int32)
        if (symbols.size > 0) != (len(data) > 0):
            raise BitstreamError(f"{len(data)} bytes cannot hold {symbols.size} coded symbols")
        decoder = constriction.stream.queue.RangeDecoder(
            np.frombuffer(data, "<u4").astype(np.uint32)
        )
        try:
            for channel, model in enumerate(self._models):
                self._decode_plane(decoder, channel, model, symbols[channel])
        except AssertionError as error:  # how constriction reports impossible data
            raise BitstreamError("the coded symbols are damaged") from error
        if not decoder.maybe_exhausted():
            raise BitstreamError("the coded symbols do not end where the picture does")
        return symbols.reshape(shape)

    def _decode_plane(self, decoder: Any, channel: int, model: Any, plane: Symbols) -> None:
        plane[:] = decoder.decode(model, plane.size)
        escaped = plane == self._escape[channel]
        plane += self._minimum[channel, 0]
        count = int(np.count_nonzero(escaped))
        if count:
            values = decoder.decode(self._uniform, count) - ESCAPE_OFFSET
            if values.min() < -MAX_SYMBOL:
                raise BitstreamError(f"a coded symbol lies beyond ±{MAX_SYMBOL}")
            plane[escaped] = values

    def _check_channels(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[0] != len(self._counts):
            raise ValueError(f"symbols {shape} for tables of {len(self._counts)} channels")
