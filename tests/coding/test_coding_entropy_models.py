"""Entropy models of tables: against the slow decoder, and through the arrays of a model file."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from reference_decoder import Contexts as SlowContexts
from reference_decoder import activity, decode_symbols
from slimcae.coding.activity import Contexts
from slimcae.coding.entropy_models import ARRAYS, TablesModel, entropy_model_of
from slimcae.coding.tables import ESCAPE_BITS, SymbolTables, from_probabilities
from slimcae.errors import BitstreamError

GROUPS = (1, 2)
STEPS = 3


def tables() -> SymbolTables:
    masses = [np.array(row) for row in ([0.2, 0.5, 0.2], [0.9, 0.05], [0.1] * 9, [0.6, 0.3])]
    return from_probabilities(np.array([-1, 0, -4, -1], np.int32), masses)


@pytest.fixture
def model() -> TablesModel:
    """Return one of three channels and three steps, which choose differently."""
    shared = tables()
    rng = np.random.default_rng(0)
    choice = rng.permutation(np.tile(np.arange(4, dtype=np.int32), 5))[: STEPS * 6]
    steps = choice.reshape(STEPS, 3, 2)
    thresholds = np.array([[5], [20]], np.int32)
    return TablesModel(tuple(Contexts(shared, GROUPS, thresholds + k, steps[k]) for k in range(3)))


def by_hand(model: TablesModel, step: int) -> SlowContexts:
    contexts = model.steps[step]
    return SlowContexts(
        [
            (int(first), contexts.tables.of(table).tolist())
            for table, first in enumerate(contexts.tables.minimum)
        ],
        list(contexts.groups),
        contexts.thresholds.tolist(),
        contexts.choice.tolist(),
    )


def symbols_of(seed: int) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).laplace(0, 2, (3, 5, 6))).astype(np.int16)


@pytest.mark.parametrize("step", range(STEPS))
def test_streams_are_those_of_the_step(model: TablesModel, step: int) -> None:
    symbols = symbols_of(step)
    data = model.encode(symbols, step)
    np.testing.assert_array_equal(model.decode(data, (3, 5, 6), step), symbols)
    planes = decode_symbols(data, by_hand(model, step), 5, 6)
    np.testing.assert_array_equal(np.array(planes), symbols)
    assert len({model.encode(symbols, each) for each in range(STEPS)}) == STEPS


@pytest.mark.parametrize("step", range(STEPS))
def test_ideal_bits_are_the_sum_over_all_symbols(model: TablesModel, step: int) -> None:
    symbols, slow = symbols_of(7), by_hand(model, step)
    planes = symbols.tolist()
    bits = 0.0
    for channel in range(3):
        group = 0 if channel < GROUPS[0] else 1
        before = planes[: 0 if group == 0 else GROUPS[0]]
        for i in range(5):
            for j in range(6):
                active = activity(before, i, j)
                table = slow.choice[channel][int(active >= slow.thresholds[group][0])]
                first, counts = slow.tables[table]
                entry = planes[channel][i][j] - first
                escaped = not 0 <= entry < len(counts) - 1
                bits += 24 - np.log2(counts[-1 if escaped else entry]) + ESCAPE_BITS * escaped
    assert model.ideal_bits(symbols, step) == pytest.approx(bits, rel=1e-12)
    assert 0 < 8 * len(model.encode(symbols, step)) - bits < 34


def test_arrays_give_the_model_back(model: TablesModel) -> None:
    arrays = model.to_arrays()
    assert arrays.keys() == set(ARRAYS)
    again = entropy_model_of(arrays)
    assert (again.num_channels, again.num_steps) == (model.num_channels, model.num_steps) == (3, 3)
    for step in range(STEPS):
        symbols = symbols_of(20 + step)
        assert again.encode(symbols, step) == model.encode(symbols, step)
    for name in ARRAYS:
        with pytest.raises(ValueError, match=name):
            entropy_model_of({key: array for key, array in arrays.items() if key != name})


def test_lengths_that_no_stream_has_are_refused(model: TablesModel) -> None:
    model.check_length(400, (3, 5, 6), 0)
    for length in (0, 401):
        with pytest.raises(BitstreamError):
            model.check_length(length, (3, 5, 6), 0)
    with pytest.raises(BitstreamError, match="cannot hold"):
        model.check_length(4, (3, 500, 600), 1)
    with pytest.raises(ValueError, match="contexts of 3 channels"):
        model.encode(np.zeros((2, 5, 6), np.int16), 0)


def test_threads_may_share_a_model(model: TablesModel) -> None:
    jobs = [(symbols_of(seed), seed % STEPS) for seed in range(60)]
    expected = [model.encode(symbols, step) for symbols, step in jobs]
    fresh = TablesModel(model.steps)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda job: fresh.encode(*job), jobs)) == expected
