"""The context network: an integer network that predicts each symbol from those coded before it.

Channels are coded in groups (Minnen and Singh, "Channel-wise autoregressive entropy models", ICIP
2020), and each group in two passes, the black and the white fields of a checkerboard over the
places (He et al., "Checkerboard context model for efficient learned image compression", CVPR
2021). The state of a place, H numbers, sums 3×3 convolutions of all symbols so far. From it, a
small head for each group and pass computes a centre and the index of a table for every channel.

All numbers are integers, computed in float32. Sums of integers below 2**24 are exact there in any
order, so every machine gets the same result; `context_arrays` verifies that bound. The network's
outputs are table, centre and sign. docs/format.md, "Context network", describes each step.
"""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from slimcae.coding.blas import one_blas_thread
from slimcae.coding.coder import CoderTables
from slimcae.coding.context_arrays import (
    FRACTION_BITS,
    FRACTIONS,
    HALF,
    LARGEST_MEAN,
    MEAN_BITS,
    OFFSET_PLACES,
    ContextArrays,
)
from slimcae.coding.entropy import EntropyModel, Part, Places, Shape, Symbols, Visit
from slimcae.coding.exact import Floats, activate, scaled

BLOCK = 4096
"""Places per matrix product, chosen to bound memory and to fit in the cache."""


CROSS, EVEN = (1, 3, 5, 7), (0, 2, 4, 6, 8)
"""Taps of a 3×3 kernel, in raster order, on fields of the other and of the same colour."""


class _Board(NamedTuple):
    """A checkerboard of h × w places: black fields first, each colour in raster order.

    order: place of each field, (h·w). black: number of black fields. cross, even: for each field
    the indices of its four or five neighbours, plus one; 0 is outside of the tile.
    """

    order: Places
    black: int
    cross: Places
    even: Places


def _board(height: int, width: int) -> _Board:
    # boards of large tiles take too much memory to be cached
    return _common_board(height, width) if height * width <= BLOCK else _new_board(height, width)


@lru_cache(maxsize=4)
def _common_board(height: int, width: int) -> _Board:
    return _new_board(height, width)


def _new_board(height: int, width: int) -> _Board:
    rows, columns = np.indices((height, width))
    white = ((rows + columns) % 2).ravel()
    order = np.argsort(white, kind="stable")
    framed = np.zeros((height + 2, width + 2), np.intp)
    inner = np.empty(height * width, np.intp)
    inner[order] = np.arange(1, height * width + 1)
    framed[1:-1, 1:-1] = inner.reshape(height, width)
    taps = [framed[i : i + height, j : j + width].ravel() for i in range(3) for j in range(3)]
    around = np.stack(taps, axis=1)[order]
    return _Board(order, int(np.count_nonzero(white == 0)), around[:, CROSS], around[:, EVEN])


class ContextModel(EntropyModel):
    """An entropy model in which a context network chooses tables and centres."""

    kind = "context"

    def __init__(self, arrays: ContextArrays) -> None:
        super().__init__(CoderTables(arrays.tables))
        self.arrays = arrays
        self.num_channels = sum(arrays.groups)
        self.num_steps = len(arrays.start)
        self._fewest = float(self._ready.fewest_bits.min())

    @cached_property
    def _weights(self) -> "_Weights":
        """Prepared when the width is first used, since most widths of a model never are."""
        return _Weights(self.arrays, self._ready.index_type)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "ContextModel":
        """Build and validate the model from the arrays of a model file.

        Raises:
            ValueError: Arrays are missing, of the wrong type, inconsistent, or not exact.
        """
        return cls(ContextArrays.from_arrays(arrays))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the named arrays that a model file stores."""
        return self.arrays.to_arrays()

    def fewest_bits(self, step: int) -> float:
        """Return a lower bound of the bits that one place costs, over all channels."""
        return self._fewest * self.num_channels

    def walk(self, visit: Visit, shape: Shape, step: int, known: Symbols | None) -> Symbols:
        """Visit two parts per group, see `EntropyModel.walk`.

        The values of a part are its symbols minus their centre, negated where the centre was
        rounded down. They are computed modulo 2**16, so they are defined for hostile files too.
        """
        channels, height, width = shape
        board = _board(height, width)
        symbols = np.empty((channels, height * width), np.int16)  # in the order of the board
        if known is not None:
            np.take(known.reshape(channels, -1), board.order, axis=1, out=symbols)
        network = _Pass(self._weights, board, step)
        changed = known is None
        with one_blas_thread():
            for group, which_channels in enumerate(self._weights.groups):
                for colour, fields in enumerate(network.colours):
                    which, centre, sign = network.predict(group, colour)
                    part = symbols[which_channels, fields]
                    values = None
                    if known is not None:
                        values = np.subtract(part, centre)
                        values *= sign
                        values = values.reshape(-1)
                    found = visit(
                        Part(
                            which.reshape(-1),
                            values,
                            which_channels,
                            board.order[fields],
                            sign.reshape(-1),
                        )
                    )
                    if found is not values:
                        np.multiply(found.reshape(part.shape), sign, out=part)
                        part += centre
                        changed = True
                    network.learn(group, colour, part)
        if not changed:
            assert known is not None
            return known
        found_symbols = np.empty_like(symbols)
        found_symbols[:, board.order] = symbols
        return found_symbols.reshape(shape)


class _Weights:
    """The arrays of a context network, arranged for its matrix products."""

    def __init__(self, arrays: ContextArrays, index_type: DTypeLike) -> None:
        self.arrays = arrays
        ends = np.cumsum(arrays.groups).tolist()
        self.groups = [slice(end - n, end) for end, n in zip(ends, arrays.groups, strict=True)]
        kernels = arrays.kernels()
        self.cross = [_flat(kernel[list(CROSS)]) for kernel in kernels]
        self.even = [_flat(kernel[list(EVEN)]) for kernel in kernels]
        self.both = [
            np.concatenate([cross, even]) for cross, even in zip(self.cross, self.even, strict=True)
        ]
        self.bias = scaled(arrays.bias, arrays.places)
        self.start = scaled(arrays.start, arrays.places)
        mix = scaled(arrays.mix, arrays.mix_places[..., None])
        self.mix = np.ascontiguousarray(mix.swapaxes(2, 3))
        self.mix_bias = scaled(arrays.mix_bias, arrays.mix_places)
        out = scaled(arrays.out, arrays.out_places[..., None])
        self.out = [
            np.ascontiguousarray(out[:, :, group]).reshape(2, -1, arrays.hidden)
            for group in self.groups
        ]
        self.out_bias = scaled(arrays.out_bias, arrays.out_places)[..., None]
        self.offset = scaled(arrays.offset, np.array(OFFSET_PLACES, np.int8))
        # two float32 features, sign · T and T, of each clipped symbol, packed into 64 bits
        reach = arrays.features.shape[1] - 1
        signs = np.sign(np.arange(-reach, reach + 1))
        sizes = arrays.features[:, np.abs(np.arange(-reach, reach + 1))]
        pairs = np.stack([signs * sizes, sizes], axis=2).astype(np.float32)
        self.reach = reach
        self.features = np.ascontiguousarray(pairs).view(np.int64)[..., 0]
        # a key is 8 · scale + fraction + 4
        mirrored = np.abs(np.arange(FRACTIONS) - HALF)
        which = arrays.choice[:, mirrored].reshape(-1)
        self.which = which.astype(index_type)


class _Pass:
    """One pass through the network: the state of every place."""

    def __init__(self, weights: _Weights, board: _Board, step: int) -> None:
        self._weights = weights
        self._board = board
        fields = len(board.order)
        self.colours = (slice(0, board.black), slice(board.black, fields))
        hidden = weights.arrays.hidden
        self._state = np.zeros((fields, hidden), np.float32)
        self._bias = weights.bias + weights.start[step]
        self._out_bias = weights.out_bias.copy()
        self._out_bias[:, 1] += weights.offset[step]
        self._ratio = np.float32(weights.arrays.reciprocal[step]) * np.float32(2.0**-MEAN_BITS)
        self._lookup = weights.features[step]
        block = min(BLOCK, max(board.black, 1))
        self._work = np.empty((2, block, hidden), np.float32)
        self._before: NDArray[np.int64] | None = None
        self._now: NDArray[np.int64] = np.empty((0, 0), np.int64)

    def learn(self, group: int, colour: int, symbols: Symbols) -> None:
        """Add the symbols of a part, (channels, fields), to the context."""
        reach = self._weights.reach
        index = np.clip(symbols, -reach, reach).T
        index = index + np.int16(reach)
        if colour == 0:
            self._before = self._now if group else None
            self._now = np.empty((1 + len(self._board.order), len(symbols)), np.int64)
            self._now[0] = 0
        fields = self.colours[colour]
        rows = self._now[1 + fields.start : 1 + fields.stop]
        np.take(self._lookup, index, out=rows, mode="clip")

    def predict(
        self, group: int, colour: int
    ) -> tuple[NDArray[np.unsignedinteger[Any]], Symbols, Symbols]:
        """Return table, centre and sign of each symbol of a part: (channels, fields) each."""
        fields = self.colours[colour]
        count = fields.stop - fields.start
        channels = self._weights.arrays.groups[group]
        which = np.empty((channels, count), self._weights.which.dtype)
        centre = np.empty((channels, count), np.int16)
        sign = np.empty((channels, count), np.int16)
        for first in range(fields.start, fields.stop, BLOCK):
            block = slice(first, min(first + BLOCK, fields.stop))
            part = slice(first - fields.start, block.stop - fields.start)
            self._convolve(group, colour, block)
            outputs = self._head(group, colour, block)
            self._read(outputs, which[:, part], centre[:, part], sign[:, part])
        return which, centre, sign

    def _convolve(self, group: int, colour: int, block: slice) -> None:
        """Update the state of these fields with all known symbols."""
        weights, board = self._weights, self._board
        if colour:
            if group:
                assert self._before is not None
                self._add(self._before, board.even[block], weights.even[group - 1], block)
            self._add(self._now, board.cross[block], weights.cross[group], block)
        elif group:
            around = np.concatenate([board.cross[block], board.even[block]], axis=1)
            self._add(self._now, around, weights.both[group - 1], block)

    def _add(self, known: NDArray[np.int64], rows: Places, kernel: Floats, block: slice) -> None:
        pairs = known.take(rows.reshape(-1), axis=0, mode="clip")
        seen = pairs.view(np.float32).reshape(len(rows), -1)
        more = np.matmul(seen, kernel, out=self._work[0, : len(rows)])
        self._state[block] += more

    def _head(self, group: int, colour: int, block: slice) -> Floats:
        """Return means and scales of these fields: (2, channels, fields), integers."""
        weights = self._weights
        count = block.stop - block.start
        hidden, mixed = self._work[:, :count]
        np.add(self._state[block], self._bias[group, colour], out=hidden)
        activate(hidden)
        np.matmul(hidden, weights.mix[group, colour], out=mixed)
        mixed += weights.mix_bias[group, colour]
        activate(mixed)
        hidden += mixed
        outputs: Floats = np.matmul(weights.out[group][colour], hidden.T)
        outputs = outputs.reshape(2, -1, count)
        outputs += self._out_bias[colour, :, weights.groups[group]]
        np.floor(outputs, out=outputs)
        return outputs

    def _read(
        self,
        outputs: Floats,
        which: NDArray[np.unsignedinteger[Any]],
        centre: Symbols,
        sign: Symbols,
    ) -> None:
        means, scales = outputs
        np.clip(means, -LARGEST_MEAN, LARGEST_MEAN, out=means)
        means *= self._ratio
        means += np.float32(HALF + 0.5)
        np.floor(means, out=means)
        eighths = means.astype(np.int16)
        np.clip(scales, 0, self._weights.arrays.choice.shape[0] - 1, out=scales)
        key = scales.astype(np.int16)
        key *= FRACTIONS
        fraction = eighths & (FRACTIONS - 1)
        key += fraction
        which[:] = self._weights.which.take(key, mode="clip")
        np.right_shift(eighths, FRACTION_BITS, out=centre)
        fraction &= HALF
        fraction >>= FRACTION_BITS - 2
        np.subtract(fraction, 1, out=sign)


def _flat(kernel: Floats) -> Floats:
    """Reshape (taps, channels, 2, hidden) to a matrix (taps · channels · 2, hidden)."""
    return np.ascontiguousarray(kernel.reshape(-1, kernel.shape[-1]))
