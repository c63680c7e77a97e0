import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimcae.errors import ConfigError
from slimcae.evaluation.bd_rate import METHOD, bd_psnr, bd_rate
from slimcae.evaluation.results import read_json

PUBLISHED = Path(__file__).parents[1] / "data" / "rd"
NAMES = ("jpeg", "vtm", "compressai-bmshj2018-factorized_mse_cpu")

ANCHOR = [(0.125, 28.0), (0.25, 30.5), (0.5, 33.5), (1.0, 37.0)]


def scaled(curve: list[tuple[float, float]], factor: float) -> list[tuple[float, float]]:
    return [(factor * rate, quality) for rate, quality in curve]


def shifted(curve: list[tuple[float, float]], gain: float) -> list[tuple[float, float]]:
    return [(rate, quality + gain) for rate, quality in curve]


@pytest.mark.parametrize(("factor", "percent"), [(2, 100), (1, 0), (0.5, -50), (1.1, 10)])
def test_every_rate_scaled(factor: float, percent: float) -> None:
    result = bd_rate(ANCHOR, scaled(ANCHOR, factor))
    assert result is not None
    assert result.value == pytest.approx(percent, abs=1e-9)
    assert result.overlap == (28.0, 37.0)
    assert result.method == METHOD == "PCHIP on log10 rate"
    assert result.dropped == 0


def test_every_quality_shifted() -> None:
    result = bd_psnr(ANCHOR, shifted(ANCHOR, 0.75))
    assert result is not None
    assert result.value == pytest.approx(0.75)
    assert result.overlap == pytest.approx((0.125, 1.0))


def test_two_points_make_a_line_whose_mean_is_its_middle() -> None:
    # log10 rate rises from -1 to 0, and from 0 to 0: on average they are half a decade apart
    result = bd_rate([(0.1, 30), (1, 40)], [(1 - 1e-12, 30), (1, 40)])
    assert result is not None
    assert result.value == pytest.approx(100 * (math.sqrt(10) - 1), rel=1e-9)


@pytest.mark.parametrize(("anchor", "test"), [*itertools.permutations(NAMES, 2)])
@pytest.mark.parametrize("quality", ["psnr-rgb", "ms-ssim-db"])
def test_equals_the_bjontegaard_package(anchor: str, test: str, quality: str) -> None:
    import bjontegaard as oracle

    curves = []
    for name in (anchor, test):
        results = read_json(PUBLISHED / f"{name}.json")
        if quality == "psnr-rgb":
            curves.append(results.curve())
        else:
            similarity = results.curve("ms-ssim-rgb")
            curves.append([(rate, -10 * math.log10(1 - value)) for rate, value in similarity])
    columns = [np.array(column) for curve in curves for column in zip(*sorted(curve), strict=True)]
    options = {"method": "pchip", "require_matching_points": False, "min_overlap": 0}
    rate, gain = bd_rate(*curves), bd_psnr(*curves)
    assert rate is not None
    assert gain is not None
    assert rate.value == pytest.approx(oracle.bd_rate(*columns, **options), rel=1e-9)
    assert gain.value == pytest.approx(oracle.bd_psnr(*columns, **options), rel=1e-9)
    assert rate.overlap == (max(columns[1][0], columns[3][0]), min(columns[1][-1], columns[3][-1]))


def test_published_curves_rank_as_the_field_knows() -> None:
    jpeg, vtm, factorized = (read_json(PUBLISHED / f"{name}.json").curve() for name in NAMES)
    worse, better = bd_rate(vtm, jpeg), bd_rate(jpeg, factorized)
    assert worse is not None
    assert better is not None
    assert worse.value > 150
    assert better.value < -30


@given(st.permutations(ANCHOR), st.permutations(scaled(ANCHOR, 1.5)))
def test_the_order_of_points_does_not_matter(
    anchor: list[tuple[float, float]], test: list[tuple[float, float]]
) -> None:
    assert bd_rate(anchor, test) == bd_rate(ANCHOR, scaled(ANCHOR, 1.5))


def test_swapping_the_curves_inverts_the_ratio() -> None:
    test = [(0.1, 27.0), (0.3, 32.0), (0.9, 36.0)]
    there, back = bd_rate(ANCHOR, test), bd_rate(test, ANCHOR)
    assert there is not None
    assert back is not None
    assert (1 + there.value / 100) * (1 + back.value / 100) == pytest.approx(1)


@pytest.mark.parametrize(
    "useless",
    [
        (0.6, 33.0),  # dearer and worse
        (0.6, 33.5),  # dearer and no better
        (0.5, 33.0),  # as dear and worse
        (0.5, 33.5),  # twice the same
        (2.0, math.inf),  # lossless
    ],
)
def test_useless_points_are_left_out_and_counted(useless: tuple[float, float]) -> None:
    test = scaled(ANCHOR, 1.3)
    plain, with_anchor, with_test = (
        bd_rate(ANCHOR, test),
        bd_rate([useless, *ANCHOR], test),
        bd_rate(ANCHOR, [*test, (1.3 * useless[0], useless[1])]),
    )
    assert plain is not None
    for result in (with_anchor, with_test):
        assert result is not None
        assert (result.value, result.overlap) == (plain.value, plain.overlap)
        assert result.dropped == 1


@pytest.mark.parametrize(
    "other",
    [
        [],
        [(0.5, 33.0)],
        [(0.5, 33.0), (0.6, 32.0)],  # one point left
        [(1.5, 38.0), (2.0, 40.0)],  # all better
        [(1.5, 37.0), (2.0, 40.0)],  # touching in one quality
    ],
)
def test_none_without_overlap_or_points(other: list[tuple[float, float]]) -> None:
    assert bd_rate(ANCHOR, other) is None
    assert bd_rate(other, ANCHOR) is None
    assert bd_psnr(ANCHOR, [(10 + rate, quality) for rate, quality in other]) is None


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_impossible_rates_are_errors(rate: float) -> None:
    with pytest.raises(ConfigError, match=f"rate {rate}"):
        bd_rate(ANCHOR, [(rate, 30.0), *ANCHOR])
    with pytest.raises(ConfigError, match="quality nan"):
        bd_psnr(ANCHOR, [(0.3, math.nan), *ANCHOR])
