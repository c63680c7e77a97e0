"""Test the calibration: a line through times of a simulated clock, and through real times."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimcae.codec import Codec
from slimcae.errors import ConfigError
from slimcae.model.config import ModelInfo
from slimcae.model.file import read_model
from slimcae.model.model import Model
from slimcae.profiling.calibration import fit, measure, texture

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "tiny.safetensors"
PIXELS = [100_000, 400_000, 1_500_000]


@pytest.fixture
def codec(tiny_model: Model) -> Codec:
    return Codec(replace(tiny_model, info=ModelInfo("tiny", "7")))


@given(st.floats(0, 1000), st.floats(0.01, 1e4))
def test_times_on_a_line_give_the_line(fixed: float, slope: float) -> None:
    found = fit(PIXELS, [fixed + slope * pixels / 1e6 for pixels in PIXELS])
    assert found.fixed == pytest.approx(fixed, rel=1e-6, abs=1e-6 * slope)
    assert found.per_megapixel == pytest.approx(slope, rel=1e-6, abs=1e-5 * fixed)


@given(st.lists(st.floats(0.1, 1e5), min_size=3, max_size=3))
def test_no_part_is_negative_and_no_allowed_line_is_nearer(milliseconds: list[float]) -> None:
    def error(fixed: float, slope: float) -> float:
        lines = [fixed + slope * pixels / 1e6 for pixels in PIXELS]
        return sum((a / b - 1) ** 2 for a, b in zip(lines, milliseconds, strict=True))

    found = fit(PIXELS, milliseconds)
    assert found.fixed >= 0 and found.per_megapixel >= 0
    best = error(found.fixed, found.per_megapixel)
    for fixed in {0, found.fixed * 0.99, found.fixed * 1.01, found.fixed + 0.01}:
        for slope in {0, found.per_megapixel * 0.99, found.per_megapixel * 1.01, 0.01}:
            assert error(fixed, slope) >= best - 1e-9


def test_falling_times_have_no_slope() -> None:
    assert fit(PIXELS, [3.0, 3.0, 2.0]).per_megapixel == 0
    assert fit(PIXELS, [1.0, 8.0, 40.0]).fixed == 0


def test_the_median_run_of_each_width_and_way_counts(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A codec with known times, by its own clock."""
    clock, runs = [0.0], [0]

    def compress(picture: Any, point: int, effort: int) -> tuple[int, int]:
        height, columns, _ = picture.pixels.shape
        take(5 + point * height * columns / 1e6)
        return point, height * columns

    def decompress(data: tuple[int, int]) -> None:
        width, pixels = data
        take(2 * width + 10 * pixels / 1e6)

    def take(milliseconds: float) -> None:
        runs[0] += 1
        # sometimes the machine is busy
        clock[0] += (milliseconds + (1000 if runs[0] % 5 == 0 else 0)) / 1000

    monkeypatch.setattr("slimcae.profiling.calibration.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(codec, "compress", compress)
    monkeypatch.setattr(codec, "decompress", decompress)
    profile = measure(codec, 3)
    for width in (12, 8, 4):
        encode, decode = profile.encode[width]["factorized"], profile.decode[width]["factorized"]
        assert (encode.fixed, encode.per_megapixel) == pytest.approx((5, width), rel=1e-6)
        assert (decode.fixed, decode.per_megapixel) == pytest.approx((2 * width, 10), rel=1e-6)


def test_a_real_codec_is_measured(codec: Codec) -> None:
    start = time.perf_counter()
    profile = measure(codec, 1, sizes=[(32, 32), (128, 160)])
    elapsed = 1000 * (time.perf_counter() - start)
    assert list(profile.decode) == list(profile.encode) == [12, 8, 4]
    assert (profile.model, profile.device) == ("tiny@7", "cpu")
    assert profile.precision == codec.transforms.precision
    assert profile.threads == 1
    assert "cores" in profile.machine
    assert profile.date[:2] == "20"
    for width in (12, 8, 4):
        assert 0 < profile.decode_ms(width, "factorized", 128 * 160) < elapsed
        assert 0 < profile.encode[width]["factorized"].of(128 * 160) < elapsed


def test_every_kind_of_a_width_is_measured() -> None:
    profile = measure(Codec(read_model(GOLDEN)), 1, sizes=[(32, 32), (64, 48)])
    kinds = {width: list(times) for width, times in profile.decode.items()}
    assert kinds == {12: ["context", "tables"], 8: ["context", "tables"], 4: ["factorized"]}
    assert {width: list(times) for width, times in profile.encode.items()} == kinds


def test_at_least_one_run_is_needed(codec: Codec) -> None:
    with pytest.raises(ConfigError, match="repeats 0: must be 1 or more"):
        measure(codec, 0)


def test_the_picture_is_the_same_each_time_and_no_flat_one() -> None:
    pixels = texture(256, 384).pixels
    assert pixels.shape == (256, 384, 3)
    np.testing.assert_array_equal(pixels, texture(256, 384).pixels)
    assert all(pixels[:, :, channel].std() > 15 for channel in range(3))
    # neighbours differ, as in photos: a little, and more along edges
    assert 2 < np.abs(np.diff(pixels.astype(int), axis=1)).mean() < 30
