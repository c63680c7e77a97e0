"""Test the ladder and the scale 0 … 100 on made-up models, against a search of all ladders."""

import itertools
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from slimcae.errors import ConfigError
from slimcae.model.quality import HULL_TOLERANCE, SWITCH_RATIO, Point, QualityScale

STEPS = (1.0, 0.9, 0.8, 0.7, 1.1, 1.2, 1.3, 1.5, 1.7)
WIDTHS = (96, 48, 24)


def plausible(width: int, delta: float) -> tuple[float, float]:
    """Return rate and quality of a network with 33 dB minus 5 dB for each halving of its width."""
    error = 10 ** -((33 + 5 * math.log2(width / 96)) / 10)
    return 0.9 * (width / 96) ** 1.3 * delta**-0.9, -10 * math.log10(error * (0.7 + 0.3 * delta**2))


MEASURED = {Point(w, s): plausible(w, d) for w in WIDTHS for s, d in enumerate(STEPS)}
SCALE = QualityScale(MEASURED)

numbers = st.tuples(st.floats(0.01, 5), st.floats(15, 50))
any_measurements = st.dictionaries(
    st.builds(Point, st.sampled_from(WIDTHS), st.integers(0, 5)), numbers, min_size=1, max_size=9
)


def hull_at(scale: QualityScale, points: list[Point], bpp: float) -> float:
    """Return the best PSNR of any mix of two points at this rate or below."""
    best = max(scale.psnr(p) for p in points if scale.bpp(p) <= bpp)
    for a, b in itertools.permutations(points, 2):
        if scale.bpp(a) < bpp < scale.bpp(b):
            share = (bpp - scale.bpp(a)) / (scale.bpp(b) - scale.bpp(a))
            best = max(best, scale.psnr(a) + share * (scale.psnr(b) - scale.psnr(a)))
    return best


def is_ladder(scale: QualityScale, points: tuple[Point, ...]) -> bool:
    return all(
        scale.psnr(b) > scale.psnr(a)
        and scale.bpp(b) > scale.bpp(a)
        and (b.width == a.width or (b.width > a.width and scale.bpp(b) >= 1.15 * scale.bpp(a)))
        for a, b in itertools.pairwise(points)
    )


def area(scale: QualityScale, points: tuple[Point, ...]) -> float:
    return sum(
        scale.psnr(a) * math.log(scale.bpp(b) / scale.bpp(a)) for a, b in itertools.pairwise(points)
    )


@settings(max_examples=200)
@given(any_measurements)
def test_no_other_ladder_is_better(measured: dict[Point, tuple[float, float]]) -> None:
    assume(len({bpp for bpp, _ in measured.values()}) == len(measured))
    assume(len({psnr for _, psnr in measured.values()}) == len(measured))
    scale = QualityScale(measured)
    near = [p for p in measured if scale.psnr(p) >= hull_at(scale, [*measured], scale.bpp(p)) - 0.1]
    near.sort(key=scale.bpp)
    every = [
        (near[0], *rest)
        for size in range(len(near))
        for rest in itertools.combinations(near[1:], size)
        if is_ladder(scale, (near[0], *rest))
    ]
    top = max(scale.psnr(points[-1]) for points in every)
    best = max(area(scale, points) for points in every if scale.psnr(points[-1]) == top)
    ladder = scale.ladder()
    assert is_ladder(scale, ladder)
    assert set(ladder) <= set(near)
    assert scale.psnr(ladder[-1]) == top
    assert area(scale, ladder) == pytest.approx(best, abs=1e-9)


def test_ladder_of_a_plausible_model_uses_every_width_and_keeps_its_promises() -> None:
    assert (HULL_TOLERANCE, SWITCH_RATIO) == (0.1, 1.15)
    ladder = SCALE.ladder()
    assert {point.width for point in ladder} == set(WIDTHS)
    assert ladder[0] == Point(24, STEPS.index(1.7))
    assert ladder[-1] == Point(96, STEPS.index(0.7))
    assert len(ladder) > 12
    for point in ladder:
        assert SCALE.psnr(point) >= hull_at(SCALE, [*MEASURED], SCALE.bpp(point)) - 0.1 - 1e-9


def test_quality_rises_with_q_from_the_cheapest_to_the_best_point() -> None:
    points = [SCALE.point(q) for q in range(101)]
    assert (points[0], points[-1]) == (SCALE.ladder()[0], SCALE.ladder()[-1])
    positions = [SCALE.ladder().index(point) for point in points]
    assert positions == sorted(positions)
    assert set(positions) == set(range(len(SCALE.ladder())))  # the grid is coarser than q
    # half way in the logarithm of the rate
    middle = math.sqrt(SCALE.bpp(points[0]) * SCALE.bpp(points[-1]))
    assert SCALE.bpp(points[50]) == pytest.approx(middle, rel=0.1)


@pytest.mark.parametrize("widths", [[96], [48], [24], [96, 24], [48, 24], [96, 48, 24]])
def test_with_fewer_widths_q_asks_for_the_same_quality(widths: list[int]) -> None:
    for q in range(101):
        wanted = SCALE.psnr(SCALE.point(q))
        got = SCALE.point(q, widths)
        allowed = SCALE.ladder(widths)
        enough = [p for p in allowed if SCALE.psnr(p) >= wanted]
        assert got == (min(enough, key=SCALE.bpp) if enough else allowed[-1])


def test_ladder_of_one_width_is_its_steps_from_coarse_to_fine() -> None:
    by_delta = sorted(range(len(STEPS)), key=lambda s: -STEPS[s])
    assert SCALE.ladder([48]) == tuple(Point(48, s) for s in by_delta) == SCALE.points(48)


@pytest.mark.parametrize("quality", [-1, 100.1, math.nan])
def test_quality_off_the_scale_is_refused(quality: float) -> None:
    with pytest.raises(ConfigError, match="from 0 to 100"):
        SCALE.point(quality)


@pytest.mark.parametrize("widths", [[], [95], [96, 7]])
def test_widths_that_do_not_exist_are_refused(widths: list[int]) -> None:
    with pytest.raises(ConfigError, match="choose from 96, 48, 24"):
        SCALE.ladder(widths)
    with pytest.raises(ConfigError, match="choose from 96, 48, 24"):
        SCALE.point(50, widths)


@pytest.mark.parametrize("bad", [(0, 30), (math.nan, 30), (math.inf, 30), (1, math.inf)])
def test_measurements_that_cannot_be_are_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="width 48, step 1 cannot have"):
        QualityScale({Point(48, 0): (1, 30), Point(48, 1): bad})
    with pytest.raises(ConfigError, match="at least one point"):
        QualityScale({})


def test_scale_of_a_model_takes_its_rows_as_steps() -> None:
    rows = {w: [MEASURED[Point(w, s)] for s in range(len(STEPS))] for w in WIDTHS}
    scale = QualityScale.of_model(STEPS, WIDTHS, rows)
    assert scale.ladder() == SCALE.ladder()
    assert not scale.nominal
    assert scale.widths == WIDTHS


def test_model_without_measurements_has_an_order_but_no_quality() -> None:
    scale = QualityScale.of_model(STEPS, WIDTHS, None)
    assert scale.nominal
    ladder = scale.ladder()
    assert ladder[0] == Point(24, STEPS.index(1.7))
    assert ladder[-1] == Point(96, STEPS.index(0.7))
    assert {point.width for point in ladder} == set(WIDTHS)
    for width in WIDTHS:
        deltas = [STEPS[point.step] for point in scale.points(width)]
        assert deltas == sorted(STEPS, reverse=True)
    with pytest.raises(ConfigError, match=r"no quality scale.*not fitted"):
        scale.point(50)


def test_the_slope_is_that_of_the_curve() -> None:
    # R = −2 · log2 D: −dR / dD = 2 / (D · ln 2)
    errors = [0.001 * 1.01**k for k in range(9)]
    scale = QualityScale(
        {Point(8, k): (-2 * math.log2(d), -10 * math.log10(d)) for k, d in enumerate(errors)}
    )
    for k in range(1, 8):
        assert scale.slope(Point(8, k)) == pytest.approx(2 / math.log(2) / errors[k], rel=1e-3)
    assert scale.slope(Point(8, 0)) == pytest.approx(2 / math.log(2) / errors[0], rel=0.01)
    # where more bits bring nothing, use the nearest point where they do
    bent = QualityScale({Point(8, k): (1.0 + k, 30.0 + min(k, 2)) for k in range(6)})
    assert 0 < bent.slope(Point(8, 5)) < bent.slope(Point(8, 3)) * 2
    with pytest.raises(ConfigError, match="has no curve"):
        QualityScale({Point(8, 0): (1.0, 30.0)}).slope(Point(8, 0))
