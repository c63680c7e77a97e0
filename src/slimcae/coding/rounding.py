"""Rate-distortion optimised rounding: symbols that an encoder may code instead of nearest integers.

The bits of a symbol are known once the symbols before it have chosen its table, so each decision is
made in coding order, one part at a time, with exact bits.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.coder import Tables, Values
from slimcae.coding.entropy import EntropyModel, Part, Symbols
from slimcae.coding.tables import MAX_SYMBOL, SymbolTables

Floats = NDArray[np.floating[Any]]


class _Prices:
    """Bits of the values of one part, and of those beside them, in the same tables."""

    def __init__(self, tables: SymbolTables, values: Values, which: Tables) -> None:
        self._costs = tables.costs
        self._escape = (tables.sizes - 1).astype(np.uint32)[which]
        self._start = tables.starts[which]
        self._above = np.subtract(values, tables.minimum[which], dtype=np.int32)

    def at(self, shift: NDArray[np.signedinteger[Any]] | int) -> NDArray[np.float64]:
        """Return the bits of values + shift."""
        # symbols below a table wrap around to large numbers, and are escaped like those above it
        entries = np.minimum((self._above + np.int32(shift)).view(np.uint32), self._escape)
        bits: NDArray[np.float64] = self._costs[entries + self._start]
        return bits


def optimised(
    model: EntropyModel, symbols: Symbols, wanted: Floats, weight: Floats, step: int
) -> tuple[Symbols, float]:
    """Return symbols that greedily minimise weight · (symbol − wanted)² + bits, and their bits.

    symbols: (C, h, w), the start of the search; each may change by one.
    wanted, weight: (C, h, w), in symbols, and in bits per squared symbol.

    Parts are decided in coding order, so the bits are those of the tables that the earlier choices
    lead to. The effect of a choice on later tables is ignored.
    (Ramchandran and Vetterli, "Rate-distortion optimal fast thresholding with
    complete JPEG/MPEG decoder compatibility", 1994, do the same for the symbols of JPEG.)
    """
    total = 0.0

    def choose(part: Part) -> Values:
        nonlocal total
        assert part.values is not None
        prices = _Prices(model.tables, part.values, part.which)
        if part.side:
            total += float(prices.at(0).sum())
            return part.values
        old, near, cost_of_one = part.of(symbols), part.of(wanted), part.of(weight)
        bits = prices.at(0)
        least = cost_of_one * (old - near) ** 2 + bits
        change = np.zeros(len(old), np.int16)
        for shift in (-1, 1):
            other = prices.at(np.multiply(part.sign, shift, dtype=np.int32))
            cost = cost_of_one * (old - near + shift) ** 2 + other
            cost[old == shift * MAX_SYMBOL] = np.inf
            better = cost < least
            np.copyto(least, cost, where=better)
            np.copyto(bits, other, where=better)
            change[better] = shift
        total += float(bits.sum())
        if not change.any():
            return part.values
        change *= np.int16(part.sign)
        return part.values + change

    found = model.walk(choose, _shape(symbols), step, symbols)
    return found, total


def slopes(model: EntropyModel, symbols: Symbols, step: int) -> NDArray[np.float32]:
    """Return the slope of the bits of each symbol (C, h, w) in its current table.

    It is the central difference, in bits per symbol.
    """
    found = np.empty(symbols.shape, np.float32)

    def look(part: Part) -> Values:
        assert part.values is not None
        if not part.side:
            prices = _Prices(model.tables, part.values, part.which)
            part.put((prices.at(1) - prices.at(-1)) * (0.5 * np.asarray(part.sign)), found)
        return part.values

    model.walk(look, _shape(symbols), step, symbols)
    return found


def _shape(symbols: Symbols) -> tuple[int, int, int]:
    channels, height, width = symbols.shape
    return channels, height, width
