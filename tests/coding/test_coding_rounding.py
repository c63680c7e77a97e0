"""Symbols that weigh their price, against loops over all choices."""

from pathlib import Path

import numpy as np
import pytest

from slimcae.coding.entropy import EntropyModel
from slimcae.coding.rounding import optimised, slopes
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
    """Return latents (C, 3, 5) in steps, and the integers next to them."""
    generator = np.random.default_rng(seed)
    wanted = generator.laplace(scale=1.5, size=(model.num_channels, 3, 5)).astype(np.float32)
    return wanted, np.rint(wanted).astype(np.int16)


def changed(symbols: np.ndarray, place: tuple[int, int, int], by: int) -> np.ndarray:
    other = symbols.copy()
    other[place] += by
    return other


def test_without_contexts_each_symbol_is_the_cheapest_of_three() -> None:
    model = MODELS["factorized"]
    wanted, symbols = drawn(model, 0)
    weight = np.full(symbols.shape, 0.7, np.float32)
    found, bits = optimised(model, symbols, wanted, weight, STEP)
    assert 0 < np.count_nonzero(found != symbols) < symbols.size
    assert bits == pytest.approx(model.ideal_bits(found, STEP))
    for place in np.ndindex(symbols.shape):
        costs = [
            0.7 * (symbols[place] + by - wanted[place]) ** 2
            + model.ideal_bits(changed(symbols, place, by), STEP)
            for by in (-1, 0, 1)
        ]
        assert found[place] - symbols[place] == int(np.argmin(costs)) - 1, place


@pytest.mark.parametrize("kind", MODELS)
def test_bits_are_those_of_what_was_chosen_before(kind: str) -> None:
    model = MODELS[kind]
    wanted, symbols = drawn(model, 1)
    before = symbols.copy()
    weight = np.full(symbols.shape, 0.5, np.float32)
    found, bits = optimised(model, symbols, wanted, weight, STEP)
    np.testing.assert_array_equal(symbols, before)
    assert np.abs(found - symbols).max() == 1
    assert bits == pytest.approx(model.ideal_bits(found, STEP))
    assert bits < model.ideal_bits(symbols, STEP)
    # the last part's contexts are settled: no single change there is cheaper
    last = len(symbols) - 1

    def cost(one: np.ndarray) -> float:
        error = 0.5 * float(((one[last] - wanted[last]) ** 2).sum())
        return error + model.ideal_bits(one, STEP)

    for row, column in np.ndindex(symbols.shape[1:]):
        if kind == "context" and (row + column) % 2 == 0:
            continue  # white fields are coded after these
        for value in (-1, 0, 1):
            other = found.copy()
            other[last, row, column] = symbols[last, row, column] + value
            assert cost(other) >= cost(found) - 1e-6


@pytest.mark.parametrize("kind", MODELS)
def test_a_heavy_error_rounds(kind: str) -> None:
    model = MODELS[kind]
    wanted, symbols = drawn(model, 2)
    weight = np.full(symbols.shape, 1e6, np.float32)
    beside = symbols + np.random.default_rng(3).integers(-1, 2, symbols.shape).astype(np.int16)
    found, _ = optimised(model, beside, wanted, weight, STEP)
    np.testing.assert_array_equal(found, symbols)


def test_symbols_stay_within_their_limits() -> None:
    model = MODELS["tables"]
    symbols = np.full((12, 2, 2), MAX_SYMBOL, np.int16)
    symbols[::2] *= -1
    weight = np.full(symbols.shape, 1e6, np.float32)
    found, _ = optimised(model, symbols, 1.1 * symbols.astype(np.float32), weight, STEP)
    np.testing.assert_array_equal(found, symbols)


def test_slopes_are_differences_of_bits() -> None:
    model = MODELS["factorized"]
    _, symbols = drawn(model, 4)
    found = slopes(model, symbols, STEP)
    for place in np.ndindex(symbols.shape):
        more, less = (model.ideal_bits(changed(symbols, place, by), STEP) for by in (1, -1))
        assert found[place] == pytest.approx((more - less) / 2, abs=1e-4)


def test_slopes_follow_mirrored_centres() -> None:
    # white fields of the last group: nothing is coded after them
    model = MODELS["context"]
    _, symbols = drawn(model, 5)
    found = slopes(model, symbols, STEP)
    for row, column in np.ndindex(symbols.shape[1:]):
        if (row + column) % 2:
            place = (len(symbols) - 1, row, column)
            more, less = (model.ideal_bits(changed(symbols, place, by), STEP) for by in (1, -1))
            assert found[place] == pytest.approx((more - less) / 2, abs=1e-4)
