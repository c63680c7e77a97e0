"""Integer tables: exact sums, closeness to the density, and what is refused."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimcae.coding.tables import (
    SymbolTables,
    from_counts,
    from_probabilities,
)

TOTAL = 2**24


def tables(*counts: list[int], minimum: list[int] | None = None) -> SymbolTables:
    first = np.array(minimum or [0] * len(counts), np.int32)
    return from_counts(first, [np.array(c, np.int32) for c in counts])


def apportioned(masses: list[float]) -> list[int]:
    counts = from_probabilities(np.zeros(1, np.int32), [np.array(masses)]).counts
    return [int(count) for count in counts]


def test_counts_are_one_each_plus_a_proportional_share() -> None:
    # a half, a quarter and a quarter (the escape's) of 2**24 - 4 counts, which four divides
    free = TOTAL - 4
    assert apportioned([0.5, 0.25, 0.0]) == [free // 2 + 1, free // 4 + 1, 1, free // 4 + 1]


def test_rounding_goes_to_the_largest_remainder_and_then_to_the_first() -> None:
    free = TOTAL - 5
    assert free % 5 == 1  # five equal remainders, one count to give
    assert apportioned([0.2, 0.2, 0.2, 0.2]) == [free // 5 + 2, *[free // 5 + 1] * 4]


@given(
    st.lists(
        st.floats(0, 1) | st.sampled_from([0.0, 1e-300, 1e-12, 2**-24]), min_size=1, max_size=40
    )
)
def test_any_masses_become_exact_tables_close_to_them(weights: list[float]) -> None:
    if sum(weights) > 1:
        weights = [weight / sum(weights) for weight in weights]
    counts = apportioned(weights)
    assert len(counts) == len(weights) + 1
    assert sum(counts) == TOTAL
    assert min(counts) >= 1
    free = TOTAL - len(counts)
    for count, weight in zip(counts, weights, strict=False):
        assert abs(Fraction(count - 1) - Fraction(weight) * free) < 1 + 1e-3


def test_masses_beyond_one_are_scaled_down() -> None:
    assert apportioned([1.5, 0.5]) == [
        1 + round(0.75 * (TOTAL - 3)),
        1 + round(0.25 * (TOTAL - 3)),
        1,
    ]


def test_the_longest_table_is_still_exact() -> None:
    minimum, masses = np.array([-32767], np.int32), [np.full(65535, 2.0**-16)]
    counts = from_probabilities(minimum, masses).counts.tolist()
    assert sum(counts) == TOTAL
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("mass", [float("nan"), float("inf"), -1e-9])
def test_masses_that_are_no_probabilities_are_refused(mass: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        apportioned([0.5, mass])


def test_entries_and_their_costs_done_by_hand() -> None:
    half, eighth = TOTAL // 2, TOTAL // 8
    both = tables([TOTAL - 1, 1], [half, eighth, eighth, TOTAL // 4], minimum=[0, -1])
    symbols = np.array([-1, 0, 1, 7, -30000, 0, 1], np.int16)
    where = both.entries(symbols, np.array([1, 1, 1, 1, 1, 0, 0]))
    assert where.tolist() == [2, 3, 4, 5, 5, 0, 1]
    # an escape costs 16 bits more, for the value behind it
    assert both.costs[2:].tolist() == [1, 3, 3, 2 + 16]
    assert both.costs[:2].tolist() == [pytest.approx(-math.log2(1 - 2**-24)), 24 + 16]


@pytest.mark.parametrize(
    ("counts", "minimum", "message"),
    [
        ([[TOTAL]], [0], "at least one symbol"),
        ([[TOTAL, 0]], [0], "positive"),
        ([[TOTAL - 1, 2]], [0], "sum to 16777216"),
        ([[TOTAL + 1, -1]], [0], "positive"),
        ([[TOTAL // 2] * 2, [TOTAL - 2, 1]], [0, 0], "sum to"),
        ([[TOTAL // 2] * 2], [-32768], "beyond ±32767"),
        ([[TOTAL // 2, TOTAL // 4, TOTAL // 4]], [32767], "beyond ±32767"),
        ([[TOTAL // 2] * 2], [0, 0], "2 first symbols for 1 tables"),
        ([], [], "0 tables"),
    ],
)
def test_invalid_tables_are_refused(
    counts: list[list[int]], minimum: list[int], message: str
) -> None:
    arrays = [np.array(c, np.int32) for c in counts]
    with pytest.raises(ValueError, match=message):
        from_counts(np.array(minimum, np.int32), arrays)


def test_the_outermost_tables_are_allowed() -> None:
    tables([TOTAL - 1, 1], [TOTAL - 1, 1], minimum=[-32767, 32767])


def test_arrays_of_another_type_are_refused() -> None:
    first, sizes, counts = (np.array(a, np.int32) for a in ([0], [2], [TOTAL // 2] * 2))
    SymbolTables(first, sizes, counts)
    for wrong in (
        (first.astype(np.int64), sizes, counts),
        (first, sizes.astype(np.int64), counts),
        (first, sizes, counts.astype(np.int64)),
    ):
        with pytest.raises(ValueError, match="int32"):
            SymbolTables(*wrong)
