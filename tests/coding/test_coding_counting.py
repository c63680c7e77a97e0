"""Models of kind `tables` from counts: groups, classes, and tables beside what was drawn."""

import numpy as np
import pytest

from slimcae.coding.activity import TablesModel, activities
from slimcae.coding.counting import (
    CLASSES,
    MAX_TABLES,
    PRIOR,
    ActivityCounts,
    ClassCounts,
    channel_groups,
    tables_model,
)
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.tables import from_probabilities

SCALES = np.array([2.0, 1.0, 0.7, 0.5, 0.3, 0.2])
GROUPS = (1, 2, 3)
REACH = 12


def draw(seed: int, factor: float = 1.0) -> np.ndarray:
    """Symbols that are loud in the same places in all channels: (6, 40, 40)."""
    rng = np.random.default_rng(seed)
    loud = np.kron(rng.choice([0.2, 1.0, 3.0], (8, 8)), np.ones((5, 5)))
    values = rng.laplace(0, factor * SCALES[:, None, None] * loud)
    return np.rint(values).astype(np.int16)


def plain() -> FactorizedModel:
    """A flat density over ±12."""
    size = 2 * REACH + 1
    masses = [np.full(size, 0.999 / size)] * len(SCALES)
    tables = from_probabilities(np.full(len(SCALES), -REACH, np.int32), masses)
    return FactorizedModel(tables, len(SCALES))


def counted(tiles: list[np.ndarray]) -> tuple[ClassCounts, TablesModel]:
    active = ActivityCounts(GROUPS)
    for symbols in tiles:
        active.add(symbols)
    counts = ClassCounts(plain(), 0, GROUPS, active.thresholds())
    for symbols in tiles:
        counts.add(symbols)
    return counts, tables_model([counts])


@pytest.mark.parametrize("channels", [1, 2, 5, 48, 192])
def test_groups_divide_the_channels_the_first_ones_finer(channels: int) -> None:
    groups = channel_groups(channels)
    assert sum(groups) == channels
    assert min(groups) >= 1
    if channels >= 48:
        assert len(groups) == 8
        assert groups[0] < groups[2] < groups[4] < groups[6]


def test_classes_are_about_equally_frequent() -> None:
    tiles = [draw(seed) for seed in range(6)]
    active = ActivityCounts(GROUPS)
    for symbols in tiles:
        active.add(symbols)
    thresholds = active.thresholds()
    assert thresholds.dtype == np.int32
    assert (thresholds[0] > 0).all()  # the first group is all in class 0
    last = [list(activities(symbols, GROUPS))[-1][1] for symbols in tiles]
    classes = np.searchsorted(thresholds[-1], np.concatenate(last).ravel(), side="right")
    shares = np.bincount(classes, minlength=CLASSES) / classes.size
    np.testing.assert_allclose(shares, 1 / CLASSES, atol=0.04)


def test_histograms_are_those_of_each_channel_and_class() -> None:
    tiles = [draw(0), draw(1, factor=4)]  # the second one has escapes
    counts, _ = counted(tiles)
    found, masses = counts.histograms()
    assert found.sum() == sum(symbols.size for symbols in tiles)
    expected = np.zeros_like(found)
    for symbols in tiles:
        for group, (channels, activity) in enumerate(activities(symbols, GROUPS)):
            for c in range(channels.start, channels.stop):
                for i, j in np.ndindex(activity.shape):
                    cls = sum(bound <= activity[i, j] for bound in counts.thresholds[group])
                    symbol = int(symbols[c, i, j])
                    expected[c, cls, symbol + 255 if abs(symbol) <= REACH else -1] += 1
    np.testing.assert_array_equal(found, expected)
    assert expected[:, :, -1].sum() > 0
    np.testing.assert_allclose(masses.sum(axis=1), 1, atol=1e-6)


def test_each_table_is_the_sum_of_the_histograms_that_chose_it() -> None:
    counts, model = counted([draw(seed) for seed in range(4)])
    found, masses = counts.histograms()
    found += masses[:, None] * (PRIOR / CLASSES)
    assert model.tables.num_tables <= MAX_TABLES
    for table, minimum in enumerate(model.tables.minimum):
        mine = found[model.choice[0] == table].sum(axis=0)
        entries = model.tables.of(table) / 2**24
        names = np.arange(len(entries) - 1) + minimum
        np.testing.assert_allclose(entries[:-1], (mine / mine.sum())[names + 255], atol=1e-5)


def test_every_histogram_chose_the_table_that_codes_it_best() -> None:
    counts, model = counted([draw(seed) for seed in range(4)])
    found, masses = counts.histograms()
    found += masses[:, None] * (PRIOR / CLASSES)
    bits = np.full((model.tables.num_tables, found.shape[2]), np.nan)
    for table, minimum in enumerate(model.tables.minimum):
        costs = model.tables.costs[model.tables.starts[table] :]
        costs = costs[: model.tables.sizes[table]]
        bits[table] = costs[-1]  # escapes
        bits[table, minimum + 255 : minimum + 255 + len(costs) - 1] = costs[:-1]
    costs = found.reshape(-1, found.shape[2]) @ bits.T
    chosen = costs[np.arange(len(costs)), model.choice[0].ravel()]
    assert chosen.sum() <= 1.001 * costs.min(axis=1).sum()


def test_classes_save_bits_on_symbols_that_were_not_counted() -> None:
    """Against the ideal tables of channels by themselves."""
    tiles = [draw(seed) for seed in range(40)]
    _, model = counted(tiles)
    fresh = [draw(seed) for seed in range(100, 105)]
    alone = 0.0
    for channel in range(len(SCALES)):
        seen = np.concatenate([symbols[channel].ravel() for symbols in tiles])
        new = np.concatenate([symbols[channel].ravel() for symbols in fresh])
        shares = np.bincount(seen + 400, minlength=801) + 1e-3
        alone -= np.log2(shares[new + 400] / shares.sum()).sum()
    together = sum(model.ideal_bits(symbols, 0) for symbols in fresh)
    assert together < 0.97 * alone


def test_nothing_is_impossible_that_the_density_allows() -> None:
    """Counted on silence alone, everything can still be coded, and silence costs little."""
    silence = np.zeros((6, 40, 40), np.int16)
    _, model = counted([silence])
    assert model.ideal_bits(silence, 0) < 0.4 * silence.size
    for table in range(model.tables.num_tables):  # all that the density names
        first = model.tables.minimum[table]
        assert first <= -REACH <= REACH <= first + model.tables.sizes[table] - 2
