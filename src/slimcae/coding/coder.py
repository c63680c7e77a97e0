"""The entropy coder: symbols to bytes by range coding with integer tables.

The only module that imports constriction. Its `Categorical` makes a 24-bit table of its own from
floats: handed `count − 1` of a table that sums to 2²⁴, it arrives at exactly our counts.
"""

from functools import cache
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from slimcae.coding.tables import ESCAPE_BITS, MAX_SYMBOL, SymbolTables
from slimcae.errors import BitstreamError

OFFSET = 1 << (ESCAPE_BITS - 1)
WORD = np.dtype("<u4")


class SymbolCoder:
    """Codes whole latents (C, H, W) with the tables of one width.

    Channel after channel, in raster order. A symbol outside its table is coded as the escape;
    after a channel's plane follow its escaped symbols, plus 2¹⁵, as uniform 16-bit numbers.
    """

    def __init__(self, tables: SymbolTables) -> None:
        self.tables = tables
        self._model = cache(self._make_model)
        self._escaped = constriction.stream.model.Uniform(1 << ESCAPE_BITS)

    def encode(self, symbols: NDArray[np.int32]) -> bytes:
        """Little-endian 32-bit words of the coded symbols (C, H, W).

        Raises:
            ValueError: not one plane per table, or symbols beyond ±32767.
        """
        if symbols.ndim != 3 or len(symbols) != len(self.tables.counts):
            raise ValueError(f"shape {symbols.shape}: give ({len(self.tables.counts)}, H, W)")
        if symbols.size and max(-int(symbols.min()), int(symbols.max())) > MAX_SYMBOL:
            raise ValueError(f"symbols go beyond ±{MAX_SYMBOL}")
        encoder = constriction.stream.queue.RangeEncoder()
        for channel, plane in enumerate(symbols.reshape(len(symbols), -1)):
            entries = self.tables.entries(plane, channel)
            encoder.encode(entries, self._model(channel))
            escaped = plane[entries == len(self.tables.counts[channel]) - 1]
            if escaped.size:
                encoder.encode((escaped + OFFSET).astype(np.int32), self._escaped)
        words: NDArray[np.uint32] = encoder.get_compressed()
        return words.astype(WORD).tobytes()

    def decode(self, data: bytes, shape: tuple[int, int, int]) -> NDArray[np.int32]:
        """Symbols of the given shape (C, H, W).

        Raises:
            BitstreamError: the data do not decode, or hold more than these symbols.
        """
        if shape[0] != len(self.tables.counts):
            raise BitstreamError(
                f"{shape[0]} channels: these tables code {len(self.tables.counts)}"
            )
        if len(data) % WORD.itemsize:
            raise BitstreamError(f"{len(data)} coded bytes are not whole 32-bit words (truncated?)")
        words = np.frombuffer(data, WORD).astype(np.uint32)
        symbols = np.empty((shape[0], shape[1] * shape[2]), np.int32)
        try:
            decoder = constriction.stream.queue.RangeDecoder(words)
            for channel, plane in enumerate(symbols):
                entries = decoder.decode(self._model(channel), plane.size)
                np.add(entries, self.tables.minimum[channel], out=plane)
                escaped = np.flatnonzero(entries == len(self.tables.counts[channel]) - 1)
                if escaped.size:
                    plane[escaped] = decoder.decode(self._escaped, escaped.size) - OFFSET
            exhausted = decoder.maybe_exhausted()
        except AssertionError as error:  # how constriction reports invalid data
            raise BitstreamError("the coded symbols are invalid (file damaged?)") from error
        if not exhausted:
            raise BitstreamError("coded data are left over after the last symbol (file damaged?)")
        return symbols.reshape(shape)

    def _make_model(self, channel: int) -> Any:
        weights = self.tables.counts[channel].astype(np.float64) - 1
        return constriction.stream.model.Categorical(weights, perfect=False)
