"""All kinds of entropy models: against the slow decoder, and through a model file's arrays."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from context_networks import random_arrays
from hyperpriors import random_hyperprior
from reference_decoder import KINDS as SLOW_KINDS
from reference_decoder import activity, decode_symbols
from slimcae.coding.activity import TablesModel
from slimcae.coding.context import ContextModel
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.entropy_models import KINDS, by_kind, entropy_model_of
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.hyperprior import HyperpriorModel
from slimcae.coding.tables import ESCAPE_BITS, SymbolTables, from_probabilities
from slimcae.container.header import ENTROPY_MODELS
from slimcae.errors import BitstreamError

GROUPS = (1, 2)
STEPS = 3


def tables() -> SymbolTables:
    masses = [np.array(row) for row in ([0.2, 0.5, 0.2], [0.9, 0.05], [0.1] * 9, [0.6, 0.3])]
    return from_probabilities(np.array([-1, 0, -4, -1], np.int32), masses)


def tables_model() -> TablesModel:
    rng = np.random.default_rng(0)
    choice = rng.permutation(np.tile(np.arange(4, dtype=np.int32), 5))[: STEPS * 6]
    thresholds = np.array([[5], [20]], np.int32) + np.arange(3, dtype=np.int32)[:, None, None]
    return TablesModel(tables(), GROUPS, thresholds, choice.reshape(STEPS, 3, 2))


def factorized_model() -> FactorizedModel:
    rng = np.random.default_rng(1)
    masses = [rng.dirichlet(np.ones(rng.integers(1, 9))) * 0.99 for _ in range(9)]
    return FactorizedModel(from_probabilities(rng.integers(-4, 1, 9).astype(np.int32), masses), 3)


MODELS: dict[str, EntropyModel] = by_kind(
    factorized_model(),
    tables_model(),
    ContextModel.from_arrays(random_arrays(0, GROUPS)),
    HyperpriorModel.from_arrays(random_hyperprior(0)),
)
every_kind = pytest.mark.parametrize("kind", MODELS)


def test_kinds_are_numbered_as_in_files() -> None:
    assert tuple(kind.kind for kind in KINDS) == ENTROPY_MODELS == tuple(MODELS)


def symbols_of(seed: int) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).laplace(0, 2, (3, 5, 6))).astype(np.int16)


@every_kind
@pytest.mark.parametrize("step", range(STEPS))
def test_streams_are_those_of_the_step(kind: str, step: int) -> None:
    model, symbols = MODELS[kind], symbols_of(step)
    data = model.encode(symbols, step)
    np.testing.assert_array_equal(model.decode(data, (3, 5, 6), step), symbols)
    arrays = {name: array.tolist() for name, array in model.to_arrays().items()}
    planes = decode_symbols(data, SLOW_KINDS[kind](arrays, step), 5, 6)
    np.testing.assert_array_equal(np.array(planes), symbols)
    assert len({model.encode(symbols, each) for each in range(STEPS)}) == STEPS


@every_kind
@pytest.mark.parametrize("step", range(STEPS))
def test_ideal_bits_are_close_to_the_stream(kind: str, step: int) -> None:
    model, symbols = MODELS[kind], symbols_of(7)
    bits = model.ideal_bits(symbols, step)
    assert 0 < 8 * len(model.encode(symbols, step)) - bits < 34
    assert model.fewest_bits(step) * 30 <= bits


@pytest.mark.parametrize("step", range(STEPS))
def test_ideal_bits_are_the_sum_over_all_symbols(step: int) -> None:
    model, symbols = tables_model(), symbols_of(7)
    known = dict(np.ndenumerate(symbols.astype(int)))
    bits = 0.0
    for channel in range(3):
        group = 0 if channel < GROUPS[0] else 1
        before = range(0 if group == 0 else GROUPS[0])
        for i in range(5):
            for j in range(6):
                active = activity(known, before, i, j, 5, 6) if group else 0
                table = model.choice[step, channel, int(active >= model.thresholds[step, group, 0])]
                counts = model.tables.of(table)
                entry = known[channel, i, j] - model.tables.minimum[table]
                escaped = not 0 <= entry < len(counts) - 1
                bits += 24 - np.log2(counts[-1 if escaped else entry]) + ESCAPE_BITS * escaped
    assert model.ideal_bits(symbols, step) == pytest.approx(bits, rel=1e-12)


@every_kind
def test_bits_of_symbols_lie_where_the_symbols_do(kind: str) -> None:
    model, symbols = MODELS[kind], symbols_of(7)
    bits = model.symbol_bits(symbols, 1)
    assert bits.shape == symbols.shape
    assert bits.sum() == pytest.approx(model.ideal_bits(symbols, 1), rel=1e-12)
    assert model.symbol_bits(symbols[:, :0], 1).shape == (3, 0, 6)
    if kind == "hyperprior":
        return  # every symbol has a part in the side information
    # nothing is coded after the last group's white fields: such a symbol changes its own bits alone
    for place in ((1, 0, 1), (2, 0, 1), (2, 3, 4), (2, 4, 5)):
        changed = []
        for symbol in range(-64, 65):
            other = symbols.copy()
            other[place] = symbol
            changed += np.argwhere(model.symbol_bits(other, 1) != bits).tolist()
        assert changed and all(each == list(place) for each in changed)


@every_kind
def test_arrays_give_the_model_back(kind: str) -> None:
    model = MODELS[kind]
    arrays = model.to_arrays()
    again = entropy_model_of(kind, arrays)
    assert (again.num_channels, again.num_steps) == (model.num_channels, model.num_steps) == (3, 3)
    for step in range(STEPS):
        symbols = symbols_of(20 + step)
        assert again.encode(symbols, step) == model.encode(symbols, step)
    for name in arrays:
        with pytest.raises(ValueError, match=name):
            entropy_model_of(kind, {key: array for key, array in arrays.items() if key != name})
    with pytest.raises(ValueError, match=r"unknown kind .*'hyper'"):
        entropy_model_of("hyper", arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"minimum": np.zeros(9)}, "steps and channels"),
        ({"minimum": np.zeros((9, 1))}, "steps and channels"),
        ({"minimum": np.zeros((0, 3)), "length": np.zeros((0, 3))}, "steps and channels"),
        ({"length": np.full((3, 3), 2)}, "do not add up"),
        ({"counts": np.ones(4)}, "do not add up"),
    ],
)
def test_factorized_arrays_that_cannot_be(change: dict[str, np.ndarray], message: str) -> None:
    changed = {name: array.astype(np.int32) for name, array in change.items()}
    with pytest.raises(ValueError, match=message):
        FactorizedModel.from_arrays(factorized_model().to_arrays() | changed)


@every_kind
def test_arrays_of_another_type_are_refused(kind: str) -> None:
    arrays = MODELS[kind].to_arrays()
    for name, array in arrays.items():
        with pytest.raises(ValueError):
            entropy_model_of(kind, arrays | {name: array.astype(np.int64)})


@every_kind
def test_lengths_that_no_stream_has_are_refused(kind: str) -> None:
    model = MODELS[kind]
    model.check_length(400, (3, 5, 6), 0)
    for length in (0, 401):
        with pytest.raises(BitstreamError):
            model.check_length(length, (3, 5, 6), 0)
    with pytest.raises(BitstreamError, match="cannot hold"):
        model.check_length(4, (3, 500, 600), 1)
    with pytest.raises(ValueError, match="model of 3 channels"):
        model.encode(np.zeros((2, 5, 6), np.int16), 0)


@every_kind
def test_threads_may_share_a_model(kind: str) -> None:
    model = MODELS[kind]
    jobs = [(symbols_of(seed), seed % STEPS) for seed in range(60)]
    expected = [model.encode(symbols, step) for symbols, step in jobs]
    fresh = entropy_model_of(kind, model.to_arrays())
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda job: fresh.encode(*job), jobs)) == expected


@every_kind
def test_every_cut_and_flipped_bit_of_a_stream(kind: str) -> None:
    model, shape = MODELS[kind], (3, 3, 4)
    symbols = symbols_of(3)[:, :3, :4]
    data = model.encode(symbols, 1)
    damaged = [data[:end] for end in range(len(data))]
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for each in damaged:
        try:
            found = model.decode(each, shape, 1)
        except BitstreamError:
            continue
        again = model.encode(found, 1)
        np.testing.assert_array_equal(model.decode(again, shape, 1), found)
        assert not np.array_equal(found, symbols) or len(each) == len(data)
