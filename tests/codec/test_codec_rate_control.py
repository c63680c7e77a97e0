"""Test the search for a target on simulated pictures, both plausible and irregular."""

import math
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimcae.codec import rate_control
from slimcae.errors import ConfigError
from slimcae.model.quality import Point, QualityScale

STEPS = (1.0, *(1.07**-j for j in range(1, 12)), *(1.05**j for j in range(1, 20)))
WIDTHS = (192, 144, 96, 72, 48)
PIXELS = 768 * 512


def mean_of(width: int, delta: float) -> tuple[float, float]:
    """Rate and quality similar to those of the packaged model."""
    error = 10 ** -((33.4 + 3.6 * math.log2(width / 192)) / 10)
    return (width / 192) ** 1.26 * delta**-0.9, -10 * math.log10(error * (0.68 + 0.32 * delta**2))


MEASURED = {Point(w, s): mean_of(w, d) for w in WIDTHS for s, d in enumerate(STEPS)}
SCALE = QualityScale(MEASURED)


@dataclass
class Picture:
    """A picture with known bytes and PSNR that counts the requests."""

    sizes: dict[Point, int]
    psnrs: dict[Point, float]
    asked_size: Counter[Point] = field(default_factory=Counter)
    asked_psnr: Counter[Point] = field(default_factory=Counter)

    def size(self, point: Point) -> int:
        self.asked_size[point] += 1
        return self.sizes[point]

    def psnr(self, point: Point) -> float:
        self.asked_psnr[point] += 1
        return self.psnrs[point]


@st.composite
def photos(draw: st.DrawFn) -> Picture:
    """Cost and quality vary around the mean, differently at each width and step.

    From one width to another bytes change by 0.91 to 1.09 of what they do on average, as measured.
    """
    cost, slope = draw(st.floats(0.1, 8)), draw(st.floats(0.75, 1.2))
    quality, spread = draw(st.floats(-8, 8)), draw(st.floats(0.7, 1.3))
    by_width = {w: draw(st.floats(0.96, 1.05)) for w in WIDTHS}
    shift = {w: draw(st.floats(-0.3, 0.3)) for w in WIDTHS}
    return Picture(
        {
            p: int(PIXELS / 8 * cost * by_width[p.width] * bpp**slope) + 64
            for p, (bpp, _) in MEASURED.items()
        },
        {p: 30 + quality + shift[p.width] + spread * (db - 30) for p, (_, db) in MEASURED.items()},
    )


@st.composite
def lawless(draw: st.DrawFn) -> Picture:
    rng = random.Random(draw(st.integers(0, 2**32)))
    flat = draw(st.sampled_from([0.0, 0.2]))  # a part of the points decodes without error
    return Picture(
        {p: rng.randint(65, 3000) for p in MEASURED},
        {p: math.inf if rng.random() < flat else rng.uniform(10, 50) for p in MEASURED},
    )


# affordable widths, or one width; there may be gaps between the others
widths_allowed = st.none() | st.sampled_from([*(WIDTHS[i:] for i in range(5)), (192,), (96,)])
places = st.floats(0, 1)


def between(low: float, high: float, place: float) -> float:
    """Interpolate logarithmically from the low value (place 0) to the high one (place 1)."""
    value = math.exp(math.log(low) + math.log(high / low) * place)
    return min(max(value, low), high)


@settings(max_examples=300)
@given(photos(), places, widths_allowed)
def test_size_is_kept_and_used(
    photo: Picture, place: float, widths: tuple[int, ...] | None
) -> None:
    ladder = SCALE.ladder(widths)
    target = math.ceil(between(photo.sizes[ladder[0]], photo.sizes[ladder[-1]], place))
    point = rate_control.for_size(photo, SCALE, target, widths=widths, overhead=64)
    assert 0.92 * target <= photo.sizes[point] <= target
    assert widths is None or point.width in widths
    assert max(photo.asked_size.values()) == 1
    assert sum(photo.asked_size.values()) <= 20
    assert not photo.asked_psnr


@settings(max_examples=300)
@given(photos(), places, widths_allowed)
def test_psnr_is_reached_and_hardly_exceeded(
    photo: Picture, place: float, widths: tuple[int, ...] | None
) -> None:
    ladder = SCALE.ladder(widths)
    target = between(photo.psnrs[ladder[0]], photo.psnrs[ladder[-1]], place)
    point = rate_control.for_psnr(photo, SCALE, target, widths=widths)
    assert target <= photo.psnrs[point] <= target + 0.5
    assert widths is None or point.width in widths
    assert max(photo.asked_psnr.values()) == 1
    assert sum(photo.asked_psnr.values()) <= 20


@settings(max_examples=300)
@given(lawless(), places, st.floats(10, 50))
def test_limits_hold_where_nothing_is_monotone(
    picture: Picture, place: float, least: float
) -> None:
    most = math.ceil(between(65, 3000, place))
    try:
        point = rate_control.for_size(picture, SCALE, most)
        assert picture.sizes[point] <= most
    except ConfigError as error:
        assert "is out of range" in str(error)
    try:
        point = rate_control.for_psnr(picture, SCALE, least)
        assert picture.psnrs[point] >= least
    except ConfigError as error:
        assert "is out of range" in str(error)
    assert max(picture.asked_psnr.values()) == 1


@settings(max_examples=100)
@given(photos(), places)
def test_size_search_leaves_nothing_better_on_the_ladder_or_in_its_width(
    photo: Picture, place: float
) -> None:
    ladder = SCALE.ladder()
    target = math.ceil(between(photo.sizes[ladder[0]], photo.sizes[ladder[-1]], place))
    point = rate_control.for_size(photo, SCALE, target)
    assert SCALE.psnr(point) >= max(SCALE.psnr(p) for p in ladder if photo.sizes[p] <= target)
    own = [p for p in SCALE.points(point.width) if photo.sizes[p] <= target]
    assert point == own[-1]


def typical() -> Picture:
    return Picture(
        {p: int(PIXELS / 8 * bpp) + 64 for p, (bpp, _) in MEASURED.items()},
        {p: db for p, (_, db) in MEASURED.items()},
    )


@pytest.mark.parametrize("index", range(0, len(SCALE.ladder()), 3))
def test_only_the_narrowest_width_and_those_around_the_target_are_analysed(index: int) -> None:
    ladder = SCALE.ladder()
    photo = typical()
    point = rate_control.for_size(photo, SCALE, photo.sizes[ladder[index]])
    assert SCALE.psnr(point) >= SCALE.psnr(ladder[index])
    around = {p.width for p in ladder[index : index + 2]}
    assert {p.width for p in photo.asked_size} == {48} | around
    photo = typical()
    rate_control.for_psnr(photo, SCALE, photo.psnrs[ladder[index]])
    around = {p.width for p in ladder[max(index - 1, 0) : index + 1]}
    assert {p.width for p in photo.asked_psnr} == {48} | around


def test_between_two_widths_their_other_steps_are_used() -> None:
    ladder = SCALE.ladder()
    switch = next(i for i, p in enumerate(ladder) if p.width > ladder[0].width)
    below, above = ladder[switch - 1], ladder[switch]
    photo = typical()
    assert photo.sizes[above] > 1.14 * photo.sizes[below]
    target = int(1.1 * photo.sizes[below])
    point = rate_control.for_size(photo, SCALE, target)
    assert point not in ladder
    assert 1.04 * photo.sizes[below] < photo.sizes[point] <= target
    middle = (photo.psnrs[below] + photo.psnrs[above]) / 2
    point = rate_control.for_psnr(photo, SCALE, middle)
    assert photo.psnrs[point] >= middle
    assert photo.sizes[point] < photo.sizes[above]


def test_sizes_out_of_range_are_refused_with_the_range() -> None:
    photo, ladder = typical(), SCALE.ladder()
    smallest, largest = photo.sizes[ladder[0]], photo.sizes[ladder[-1]]
    words = f"this picture takes {smallest:,} to {largest:,} bytes; choose"
    for target in (smallest - 1, largest + 1):
        with pytest.raises(ConfigError, match=f"a size of {target:,} bytes.*{words}"):
            rate_control.for_size(photo, SCALE, target)
    assert rate_control.for_size(photo, SCALE, smallest - 1, closest=True) == ladder[0]
    assert rate_control.for_size(photo, SCALE, largest + 1, closest=True) == ladder[-1]
    assert rate_control.for_size(photo, SCALE, smallest) == ladder[0]
    assert rate_control.for_size(photo, SCALE, largest) == ladder[-1]


@pytest.mark.parametrize("target", [0, 999, 1000, 1001, 1200])
def test_sizes_that_metadata_makes_unreachable_say_what_it_takes(target: int) -> None:
    photo = typical()
    photo.sizes = {point: size + 936 for point, size in photo.sizes.items()}
    message = "1,000 of them for header, alpha and metadata"
    with pytest.raises(ConfigError, match=message):
        rate_control.for_size(photo, SCALE, target, overhead=1000)
    closest = rate_control.for_size(photo, SCALE, target, overhead=1000, closest=True)
    assert closest == SCALE.ladder()[0]


def test_psnrs_out_of_range_are_refused_with_the_range() -> None:
    photo, ladder = typical(), SCALE.ladder()
    worst, best = photo.psnrs[ladder[0]], photo.psnrs[ladder[-1]]
    for target in (worst - 0.01, best + 0.01, math.inf):
        with pytest.raises(ConfigError, match=f"has {worst:.2f} to {best:.2f} dB"):
            rate_control.for_psnr(photo, SCALE, target)
    assert rate_control.for_psnr(photo, SCALE, 1, closest=True) == ladder[0]
    assert rate_control.for_psnr(photo, SCALE, 99, closest=True) == ladder[-1]
    assert rate_control.for_psnr(photo, SCALE, worst) == ladder[0]
    assert rate_control.for_psnr(photo, SCALE, best) == ladder[-1]


def test_range_is_that_of_the_widths_allowed() -> None:
    photo = typical()
    ladder = SCALE.ladder([72])
    with pytest.raises(ConfigError, match=f"to {photo.sizes[ladder[-1]]:,} bytes"):
        rate_control.for_size(photo, SCALE, 10**6, widths=[72])
    assert {p.width for p in photo.asked_size} == {72}


@settings(max_examples=50)
@given(photos(), places)
def test_model_without_measurements_is_searched_too(photo: Picture, place: float) -> None:
    scale = QualityScale.of_model(STEPS, WIDTHS, None)
    ladder = scale.ladder()
    target = math.ceil(between(photo.sizes[ladder[0]], photo.sizes[ladder[-1]], place))
    point = rate_control.for_size(photo, scale, target)
    assert 0.92 * target <= photo.sizes[point] <= target
