"""Contexts: activity and choice done by hand, bits, storage, and what is refused."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slimcae.coding.activity import ARRAYS, Contexts, from_arrays, independent, to_arrays, walk
from slimcae.coding.coder import SymbolCoder
from slimcae.coding.tables import SymbolTables, from_counts
from slimcae.errors import BitstreamError

TOTAL = 2**24
HALF, QUARTER = TOTAL // 2, TOTAL // 4


def tables(*counts: list[int], minimum: list[int] | None = None) -> SymbolTables:
    first = np.array(minimum or [0] * len(counts), np.int32)
    return from_counts(first, [np.array(c, np.int32) for c in counts])


TABLES = tables([HALF, HALF], [HALF, QUARTER, QUARTER], [1, TOTAL - 2, 1], minimum=[0, -1, 0])


def contexts(
    groups: tuple[int, ...], thresholds: list[list[int]], choice: list[list[int]]
) -> Contexts:
    return Contexts(
        TABLES,
        groups,
        np.array(thresholds, np.int32).reshape(len(groups), -1),
        np.array(choice, np.int32),
    )


@given(arrays(np.int16, (5, 3, 4), elements=st.integers(-32767, 32767)))
def test_activity_is_that_of_the_groups_before(symbols: np.ndarray) -> None:
    """Place by place, from the definition."""
    ends = []
    for channels, activity in walk(symbols, (2, 1, 2)):
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
    found = contexts((1, 1), [[0, 1], [5, 18]], [[0, 1, 2], [2, 1, 0]])
    activity = np.array([[0, 4, 5, 17, 18, 999]], np.int32)
    assert found.chosen(1, activity).tolist() == [[[2, 2, 1, 1, 0, 0]]]
    # the first group knows nothing yet: activity 0 has reached one threshold
    assert found.chosen(0, np.zeros((1, 2), np.int32)).tolist() == [[[1, 1]]]


def test_bits_are_those_of_the_chosen_tables() -> None:
    found = contexts((1, 1), [[1], [36]], [[1, 1], [0, 2]])
    symbols = np.array([[[0, 0, 0, 0, 2, 2, 2]], [[0, 0, 5, 0, 0, 1, 1]]], np.int16)
    # channel 0 has table 1: symbol 0 has 2 bits, 2 is an escape of 2 + 16
    first = 4 * 2 + 3 * 18
    # channel 1: places 5 and 6 are active (36), place 4 is not quite (9·2 + 3·4 = 30)
    second = 3 * 1 + 17 + 1 + 2 * -np.log2(1 - 2**-23)
    assert found.ideal_bits(symbols) == pytest.approx(first + second)
    with pytest.raises(ValueError, match="2 channels"):
        found.ideal_bits(symbols[:1])
    assert found.ideal_bits(symbols[:, :0]) == 0


@settings(max_examples=300)
@given(st.binary(max_size=64), st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 9))
def test_arbitrary_bytes_give_symbols_or_a_bitstream_error(
    data: bytes, seed: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    found = contexts((1, 2, 1), [[1], [20], [60]], rng.integers(0, 3, (4, 2)).tolist())
    coder = SymbolCoder(found)
    whole = coder.encode(rng.integers(-2, 4, (4, height, width)).astype(np.int16))
    for stream in (data[: len(data) // 4 * 4], whole[:-4] + data[:4], whole[:-4], data + whole):
        try:
            symbols = coder.decode(stream, (4, height, width))
        except BitstreamError:
            continue
        again = coder.decode(coder.encode(symbols), symbols.shape)
        np.testing.assert_array_equal(again, symbols)


def test_one_coder_serves_many_threads() -> None:
    found = contexts((1, 2, 1), [[1], [20], [60]], [[0, 1], [1, 2], [0, 2], [2, 1]])
    symbols = np.random.default_rng(0).integers(-2, 4, (4, 30, 30)).astype(np.int16)
    expected = SymbolCoder(found).encode(symbols)
    coder = SymbolCoder(found)

    def work(_: int) -> bool:
        data = coder.encode(symbols)
        return data == expected and bool((coder.decode(data, symbols.shape) == symbols).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


@given(st.integers(0, 2**32 - 1))
def test_streams_are_about_as_long_as_the_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = contexts((1, 2, 1), [[1], [20], [60]], rng.integers(0, 3, (4, 2)).tolist())
    symbols = rng.integers(-2, 4, (4, 20, 20)).astype(np.int16)
    coder = SymbolCoder(found)
    data = coder.encode(symbols)
    bits = found.ideal_bits(symbols)
    assert bits <= 8 * len(data) <= 1.001 * bits + 64
    np.testing.assert_array_equal(coder.decode(data, symbols.shape), symbols)


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
    thresholds = np.array([[1], [10]], np.int32)

    def bits(quiet: int, active: int) -> float:
        choice = np.array([[0, 0]] * 2 + [[quiet, active]] * 6, np.int32)
        return Contexts(three, (2, 6), thresholds, choice).ideal_bits(symbols)

    assert bits(2, 1) < 0.8 * bits(0, 0)


def test_independent_channels_have_a_table_each() -> None:
    assert independent(TABLES).choice.tolist() == [[0], [1], [2]]
    some = independent(TABLES, 1, 2)
    assert some.choice.tolist() == [[1], [2]]
    assert (some.groups, some.thresholds.shape) == ((2,), (1, 0))


def two_steps() -> tuple[Contexts, Contexts]:
    return (
        contexts((1, 2), [[0, 0], [3, 9]], [[0, 1, 2], [1, 1, 1], [2, 0, 0]]),
        contexts((1, 2), [[0, 0], [4, 9]], [[0, 1, 2], [1, 1, 1], [2, 0, 1]]),
    )


def test_arrays_hold_tables_once_and_choices_of_every_step() -> None:
    found = to_arrays(two_steps())
    assert tuple(found) == ARRAYS
    assert all(array.dtype == np.int32 for array in found.values())
    assert found["tables.minimum"].tolist() == [0, -1, 0]
    assert found["contexts.groups"].tolist() == [1, 2]
    assert found["contexts.thresholds"].tolist() == [[[0, 0], [3, 9]], [[0, 0], [4, 9]]]
    assert found["contexts.choice"][1].tolist() == [[0, 1, 2], [1, 1, 1], [2, 0, 1]]
    for back, step in zip(from_arrays(found), two_steps(), strict=True):
        assert back.groups == step.groups
        assert back.thresholds.tolist() == step.thresholds.tolist()
        assert back.choice.tolist() == step.choice.tolist()
        assert back.tables.counts.tolist() == TABLES.counts.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tables.length": [2, 3, 4]}, "do not add up to 8"),
        ({"tables.length": [[2, 3, 3]]}, "one-dimensional"),
        ({"contexts.groups": [1, 1]}, "which are 3"),
        (
            {"contexts.groups": [1] * 300_000},
            "300000 groups of 300000 channels in all, which are 3",
        ),
        ({"contexts.groups": [0, 3]}, "which are 3"),
        ({"contexts.groups": [-1, 4]}, "which are 3"),
        ({"contexts.groups": []}, "which are 3"),
        ({"contexts.groups": [[1, 2]]}, "wrong dimensions"),
        ({"contexts.groups": [3]}, "for 3 classes"),
        ({"contexts.thresholds": np.zeros((2, 2, 1))}, "for 3 classes"),
        ({"contexts.thresholds": np.zeros((2, 2))}, "wrong dimensions"),
        ({"contexts.thresholds": np.zeros((1, 2, 2))}, "of 1 steps, choices of 2"),
        ({"contexts.thresholds": [[[1, 0], [3, 9]], [[0, 0], [4, 9]]]}, "fall"),
        (
            {"contexts.thresholds": [[[2**31 - 1, -(2**31)], [3, 9]], [[0, 0], [4, 9]]]},
            "fall",  # by more than 32 bits hold
        ),
        ({"contexts.choice": np.zeros((2, 3, 3))}, "tables that nothing chooses"),
        ({"contexts.choice": np.tile([0, 1, 3], (2, 3, 1))}, "beyond the 3 tables"),
        ({"contexts.choice": np.tile([-1, 1, 2], (2, 3, 1))}, "beyond the 3 tables"),
        ({"contexts.choice": np.zeros((2, 4, 3))}, "which are 4"),
        ({"contexts.choice": np.zeros((2, 0, 3))}, "without channels"),
        (
            {"contexts.choice": np.zeros((0, 3, 3)), "contexts.thresholds": np.zeros((0, 2, 2))},
            "of 0 steps",
        ),
    ],
)
def test_arrays_that_are_no_contexts_are_refused(change: dict[str, object], message: str) -> None:
    changed = {key: np.asarray(value, np.int32) for key, value in change.items()}
    with pytest.raises(ValueError, match=message):
        from_arrays(to_arrays(two_steps()) | changed)


def test_arrays_of_another_type_are_refused() -> None:
    found = to_arrays(two_steps())
    for key, array in found.items():
        with pytest.raises(ValueError, match="int32"):
            from_arrays(found | {key: array.astype(np.int64)})
    (one, _) = two_steps()
    with pytest.raises(ValueError, match="int32"):
        Contexts(TABLES, one.groups, one.thresholds.astype(np.int64), one.choice)


def test_thresholds_may_be_any_numbers_that_do_not_fall() -> None:
    found = contexts((1, 1), [[-(2**31), 2**31 - 1], [-5, 2**31 - 1]], [[0, 1, 2], [2, 1, 0]])
    assert found.chosen(1, np.array([[0, 10**6]], np.int32)).tolist() == [[[1, 1]]]


def test_missing_arrays_are_named() -> None:
    found = to_arrays(two_steps())
    del found["tables.length"], found["contexts.groups"]
    with pytest.raises(ValueError, match=r"lacks contexts\.groups, tables\.length"):
        from_arrays(found)
