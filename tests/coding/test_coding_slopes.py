"""Bits and their slopes, against the bits of symbols changed one by one."""

from pathlib import Path

import numpy as np
import pytest

from slimcae.coding.entropy import EntropyModel
from slimcae.coding.slopes import bits_and_slopes
from slimcae.coding.tables import MAX_SYMBOL
from slimcae.model.file import read_model

GOLDEN = read_model(Path(__file__).parents[1] / "data" / "golden" / "tiny.safetensors")
MODELS = {
    "factorized": GOLDEN.entropy_model(4, "factorized"),
    "tables": GOLDEN.entropy_model(12, "tables"),
    "context": GOLDEN.entropy_model(12, "context"),
}
STEP = 1


def drawn(model: EntropyModel, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return symbols (C, 3, 5) and a direction for each."""
    generator = np.random.default_rng(seed)
    shape = (model.num_channels, 3, 5)
    symbols = np.rint(generator.laplace(scale=1.5, size=shape)).astype(np.int16)
    return symbols, generator.choice(np.array([-1, 1], np.int16), shape)


@pytest.mark.parametrize("kind", MODELS)
def test_slopes_are_differences_of_bits(kind: str) -> None:
    model = MODELS[kind]
    symbols, directions = drawn(model, 0)
    before = symbols.copy()
    bits, slopes = bits_and_slopes(model, symbols, directions, STEP)
    np.testing.assert_array_equal(symbols, before)
    assert bits == pytest.approx(model.ideal_bits(symbols, STEP))
    for place in np.ndindex(symbols.shape):
        channel, row, column = place
        if kind != "factorized" and channel < len(symbols) - 1:
            continue  # what is coded later has other tables then
        if kind == "context" and (row + column) % 2 == 0:
            continue  # white fields are coded after these
        other = symbols.copy()
        other[place] += directions[place]
        difference = model.ideal_bits(other, STEP) - model.ideal_bits(symbols, STEP)
        assert slopes[place] == pytest.approx(difference * directions[place], abs=1e-4)


def test_the_largest_symbols_have_slopes() -> None:
    model = MODELS["tables"]
    symbols = np.full((12, 2, 2), MAX_SYMBOL, np.int16)
    symbols[::2] *= -1
    bits, slopes = bits_and_slopes(model, symbols, np.sign(symbols), STEP)
    assert bits == pytest.approx(model.ideal_bits(symbols, STEP))
    np.testing.assert_array_equal(slopes, 0)  # all are escaped, and cost the same


def test_no_symbols_have_no_bits() -> None:
    empty = np.empty((12, 0, 3), np.int16)
    bits, slopes = bits_and_slopes(MODELS["context"], empty, empty, STEP)
    assert bits == 0 and slopes.shape == empty.shape
