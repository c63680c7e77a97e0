"""Entropy models of kind `tables`: activity and choice by hand, bits, storage, refusals."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slimcae.coding.activity import TablesModel, activities
from slimcae.coding.tables import SymbolTables, from_counts
from slimcae.errors import BitstreamError

TOTAL = 2**24
HALF, QUARTER = TOTAL // 2, TOTAL // 4


def tables(*counts: list[int], minimum: list[int] | None = None) -> SymbolTables:
    first = np.array(minimum or [0] * len(counts), np.int32)
    return from_counts(first, [np.array(c, np.int32) for c in counts])


TABLES = tables([HALF, HALF], [HALF, QUARTER, QUARTER], [1, TOTAL - 2, 1], minimum=[0, -1, 0])


def model_of(
    groups: tuple[int, ...], thresholds: list[list[int]], choice: list[list[int]]
) -> TablesModel:
    """A model of one step; each table must be chosen."""
    return TablesModel(
        TABLES,
        groups,
        np.array(thresholds, np.int32).reshape(1, len(groups), -1),
        np.array(choice, np.int32)[None],
    )


def random_choice(rng: np.random.Generator) -> list[list[int]]:
    """Of four channels and two classes, with each of the three tables."""
    return rng.permutation([0, 1, 2, *rng.integers(0, 3, 5)]).reshape(4, 2).tolist()


@given(arrays(np.int16, (5, 3, 4), elements=st.integers(-32767, 32767)))
def test_activity_is_that_of_the_groups_before(symbols: np.ndarray) -> None:
    """Place by place, from the definition."""
    ends = []
    for channels, activity in activities(symbols, (2, 1, 2)):
        ends.append((channels.start, channels.stop))
        sizes = np.minimum(np.abs(symbols[: channels.start].astype(int)), 2).sum(axis=0)
        for i in range(3):
            for j in range(4):
                around = sum(
                    sizes[min(max(i + u, 0), 2), min(max(j + v, 0), 3)]
                    for u in (-1, 0, 1)
                    for v in (-1, 0, 1)
                )
                assert activity[i, j] == 9 * sizes[i, j] + around
    assert ends == [(0, 2), (2, 3), (3, 5)]


def test_a_class_begins_at_its_threshold() -> None:
    found = model_of((1, 1), [[0, 1], [5, 18]], [[0, 1, 2], [2, 1, 0]])
    activity = np.array([[0, 4, 5, 17, 18, 999]], np.int32)
    assert found.chosen(0, 1, activity).tolist() == [[[2, 2, 1, 1, 0, 0]]]
    # the first group knows nothing yet: activity 0 has reached one threshold
    assert found.chosen(0, 0, np.zeros((1, 2), np.int32)).tolist() == [[[1, 1]]]


def test_bits_are_those_of_the_chosen_tables() -> None:
    found = model_of((1, 1), [[1], [36]], [[1, 1], [0, 2]])
    symbols = np.array([[[0, 0, 0, 0, 2, 2, 2]], [[0, 0, 5, 0, 0, 1, 1]]], np.int16)
    # channel 0 has table 1: symbol 0 has 2 bits, 2 is an escape of 2 + 16
    first = 4 * 2 + 3 * 18
    # channel 1: places 5 and 6 are active (36), place 4 is not quite (9·2 + 3·4 = 30)
    second = 3 * 1 + 17 + 1 + 2 * -np.log2(1 - 2**-23)
    assert found.ideal_bits(symbols, 0) == pytest.approx(first + second)
    with pytest.raises(ValueError, match="2 channels"):
        found.ideal_bits(symbols[:1], 0)
    assert found.ideal_bits(symbols[:, :0], 0) == 0


@settings(max_examples=300)
@given(st.binary(max_size=64), st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 9))
def test_arbitrary_bytes_give_symbols_or_a_bitstream_error(
    data: bytes, seed: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    found = model_of((1, 2, 1), [[1], [20], [60]], random_choice(rng))
    whole = found.encode(rng.integers(-2, 4, (4, height, width)).astype(np.int16), 0)
    for stream in (data[: len(data) // 4 * 4], whole[:-4] + data[:4], whole[:-4], data + whole):
        try:
            symbols = found.decode(stream, (4, height, width), 0)
        except BitstreamError:
            continue
        again = found.decode(found.encode(symbols, 0), symbols.shape, 0)
        np.testing.assert_array_equal(again, symbols)


def test_one_coder_serves_many_threads() -> None:
    found = model_of((1, 2, 1), [[1], [20], [60]], [[0, 1], [1, 2], [0, 2], [2, 1]])
    symbols = np.random.default_rng(0).integers(-2, 4, (4, 30, 30)).astype(np.int16)
    expected = found.encode(symbols, 0)

    def work(_: int) -> bool:
        data = found.encode(symbols, 0)
        return data == expected and bool((found.decode(data, symbols.shape, 0) == symbols).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


@given(st.integers(0, 2**32 - 1))
def test_streams_are_about_as_long_as_the_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = model_of((1, 2, 1), [[1], [20], [60]], random_choice(rng))
    symbols = rng.integers(-2, 4, (4, 20, 20)).astype(np.int16)
    data = found.encode(symbols, 0)
    bits = found.ideal_bits(symbols, 0)
    assert bits <= 8 * len(data) <= 1.001 * bits + 64
    np.testing.assert_array_equal(found.decode(data, symbols.shape, 0), symbols)


def test_contexts_help_where_channels_are_active_in_the_same_places() -> None:
    """Half of the places are empty in all channels; a table for each half beats one for both."""
    rng = np.random.default_rng(0)
    busy = np.kron(rng.random((8, 8)) < 0.5, np.ones((5, 5), bool))
    symbols = np.where(busy, rng.integers(-1, 2, (8, 40, 40)), 0).astype(np.int16)
    sixth = TOTAL // 6
    three = tables(
        [sixth, TOTAL - 2 * sixth - 1, sixth, 1],  # of all places
        [2 * sixth, TOTAL - 4 * sixth - 1, 2 * sixth, 1],  # of the busy ones
        [2**18, TOTAL - 2**19 - 1, 2**18, 1],
        minimum=[-1, -1, -1],
    )
    thresholds = np.array([[[1], [10]]], np.int32)
    # the unused tables serve the first group, which has one class
    first = np.array([[[0, 1]], [[2, 2]]], np.int32)

    def bits(quiet: int, active: int) -> float:
        choice = np.concatenate([first[:, 0], np.array([[quiet, active]] * 6, np.int32)])
        model = TablesModel(three, (2, 6), thresholds, choice[None])
        return model.ideal_bits(symbols, 0)

    assert bits(2, 1) < 0.8 * bits(0, 0)


def two_steps() -> TablesModel:
    thresholds = [[[0, 0], [3, 9]], [[0, 0], [4, 9]]]
    choice = [[[0, 1, 2], [1, 1, 1], [2, 0, 0]], [[0, 1, 2], [1, 1, 1], [2, 0, 1]]]
    return TablesModel(TABLES, (1, 2), np.array(thresholds, np.int32), np.array(choice, np.int32))


def test_arrays_hold_tables_once_and_choices_of_every_step() -> None:
    found = two_steps().to_arrays()
    assert all(array.dtype == np.int32 for array in found.values())
    assert found["minimum"].tolist() == [0, -1, 0]
    assert found["groups"].tolist() == [1, 2]
    assert found["thresholds"].tolist() == [[[0, 0], [3, 9]], [[0, 0], [4, 9]]]
    assert found["choice"][1].tolist() == [[0, 1, 2], [1, 1, 1], [2, 0, 1]]
    back = TablesModel.from_arrays(found).to_arrays()
    assert found.keys() == back.keys()
    assert all(np.array_equal(back[name], array) for name, array in found.items())
    assert (two_steps().num_steps, two_steps().num_channels) == (2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": [2, 3, 4]}, "do not add up to 8"),
        ({"length": [[2, 3, 3]]}, "one-dimensional"),
        ({"groups": [1, 1]}, "must be.* 3 in total"),
        ({"groups": [1] * 300_000}, "300000 groups of 300000 channels.*must be.* 3 in total"),
        ({"groups": [0, 3]}, "must be.* 3 in total"),
        ({"groups": [-1, 4]}, "must be.* 3 in total"),
        ({"groups": []}, "must be.* 3 in total"),
        ({"groups": [[1, 2]]}, "one-dimensional"),
        ({"groups": [3]}, "1 groups and 3 classes"),
        ({"thresholds": np.zeros((2, 2, 1))}, "and 3 classes"),
        ({"thresholds": np.zeros((2, 2))}, r"\(2, 2\) for"),
        ({"thresholds": np.zeros((1, 2, 2))}, "for 2 steps"),
        ({"thresholds": [[[1, 0], [3, 9]], [[0, 0], [4, 9]]]}, "must not decrease"),
        (
            {"thresholds": [[[2**31 - 1, -(2**31)], [3, 9]], [[0, 0], [4, 9]]]},
            "must not decrease",  # the difference overflows 32 bits
        ),
        ({"choice": np.zeros((2, 3, 3))}, "every table"),
        ({"choice": np.tile([0, 1, 3], (2, 3, 1))}, "must be from 0 to 2"),
        ({"choice": np.tile([-1, 1, 2], (2, 3, 1))}, "must be from 0 to 2"),
        ({"choice": np.zeros((2, 4, 3))}, "must be.* 4 in total"),
        ({"choice": np.zeros((2, 0, 3))}, "none of them 0"),
        ({"choice": np.zeros((2, 9))}, "steps, channels and classes"),
        (
            {"choice": np.zeros((0, 3, 3)), "thresholds": np.zeros((0, 2, 2))},
            "none of them 0",
        ),
    ],
)
def test_arrays_that_are_no_contexts_are_refused(change: dict[str, object], message: str) -> None:
    changed = {key: np.asarray(value, np.int32) for key, value in change.items()}
    with pytest.raises(ValueError, match=message):
        TablesModel.from_arrays(two_steps().to_arrays() | changed)


def test_arrays_of_another_type_are_refused() -> None:
    found = two_steps().to_arrays()
    for key, array in found.items():
        with pytest.raises(ValueError, match="int32"):
            TablesModel.from_arrays(found | {key: array.astype(np.int64)})


def test_thresholds_may_be_any_numbers_that_do_not_fall() -> None:
    found = model_of((1, 1), [[-(2**31), 2**31 - 1], [-5, 2**31 - 1]], [[0, 1, 2], [2, 1, 0]])
    assert found.chosen(0, 1, np.array([[0, 10**6]], np.int32)).tolist() == [[[1, 1]]]


def test_missing_and_unknown_arrays_are_named() -> None:
    found = two_steps().to_arrays()
    with pytest.raises(ValueError, match="array pieces is unknown"):
        TablesModel.from_arrays(found | {"pieces": found["groups"]})
    del found["length"], found["thresholds"]
    with pytest.raises(ValueError, match="array length is missing"):
        TablesModel.from_arrays(found)
