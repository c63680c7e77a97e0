"""How the bits of symbols change with them: what an encoder asks that may choose its symbols."""

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.coder import Values
from slimcae.coding.entropy import EntropyModel, Part, Symbols


def bits_and_slopes(
    model: EntropyModel, symbols: Symbols, directions: NDArray[np.int16], step: int
) -> tuple[float, NDArray[np.float32]]:
    """Return the bits of symbols (C, h, w), and how they grow with each of them.

    directions: 1 or −1 for each symbol, where its slope is measured: from the symbol to the one
        above or below, in the table that the symbols before it choose. What a symbol does to the
        tables of later ones does not count.

    Returns:
        The bits of all symbols and of side information, and bits per symbol (C, h, w).
    """
    slopes = np.zeros(symbols.shape, np.float32)
    total = 0.0
    tables = model.tables

    def look(part: Part) -> Values:
        nonlocal total
        assert part.values is not None
        bits = tables.costs[tables.entries(part.values, part.which)]
        total += float(bits.sum())
        if not part.side:
            direction = part.of(directions)
            beside = np.multiply(part.sign, direction, dtype=np.int32) + part.values
            bits_beside = tables.costs[tables.entries(beside, part.which)]
            part.put((bits_beside - bits) * direction, slopes)
        return part.values

    channels, height, width = symbols.shape
    if symbols.size:
        model.walk(look, (channels, height, width), step, symbols)
    return total, slopes
