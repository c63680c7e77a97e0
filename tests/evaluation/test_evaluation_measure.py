"""Test the points of contenders: means, medians, and warm-up."""

import math
from pathlib import Path

import numpy as np
import pytest
from fake_contenders import FakeContender
from PIL import Image

from slimcae.errors import ImageError
from slimcae.evaluation import metrics
from slimcae.evaluation.measure import measure


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("slimcae.evaluation.measure.time.perf_counter", lambda: now[0])
    return now


def picture(path: Path, level: int, size: tuple[int, int] = (8, 6)) -> Path:
    Image.new("RGB", size, (level, level, level)).save(path)
    return path


def test_rates_are_means_and_times_medians_of_medians(tmp_path: Path, clock: list[float]) -> None:
    images = [picture(tmp_path / f"{k}.png", 10 * k) for k in range(3)]
    codec = FakeContender("fake", (1.0,), clock=clock)
    ((point,),), _ = measure([codec], images, repeats=3)
    # call 1 warms up; the pictures take calls 2 3 4, 5 6 7 and 8 9 10
    assert point.encode_seconds == 6.0
    assert point.decode_seconds == 0.5
    assert (point.bpp, point.label, point.codec) == (8.0, "level 1", "fake")
    assert point.mse == pytest.approx(1 / 255**2)
    assert point.psnr == pytest.approx(20 * math.log10(255))
    assert point.ms_ssim is None and point.ms_ssim_db is None
    assert len(codec.calls) == 10


def test_each_picture_goes_through_all_and_each_size_is_warmed_up_once(
    tmp_path: Path, clock: list[float]
) -> None:
    images = [
        picture(tmp_path / "a.png", 1),
        picture(tmp_path / "b.png", 2, (4, 4)),
        picture(tmp_path / "c.png", 3),
    ]
    calls: list[tuple[str, float]] = []
    first = FakeContender("first", (1.0, 2.0), clock=clock, calls=calls)
    second = FakeContender("second", (3.0,), clock=clock, calls=calls)
    curves, pictures = measure([first, second], images)
    assert pictures == [(images[0], 8, 6), (images[1], 4, 4), (images[2], 8, 6)]
    assert [[point.setting for point in curve] for curve in curves] == [[1, 2], [3]]
    # warm-up and picture, warm-up and picture, picture
    assert [point for _, point in calls] == [1, 2, 3] * 5


def test_quality_is_that_of_the_colours_of_visible_pixels(
    tmp_path: Path, clock: list[float]
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 200, (170, 180, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    codec = FakeContender("fake", (0.5,), error=9, clock=clock)
    ((point,),), _ = measure([codec], [tmp_path / "a.png"])
    colours = pixels[:, :, :3]
    seen = pixels[:, :, 3:] > 0
    assert not seen.all()
    expected = metrics.ms_ssim(colours, np.where(seen, colours + 9, colours).astype(np.uint8))
    assert point.ms_ssim == pytest.approx(expected, abs=2e-5)
    assert point.mse == pytest.approx((9 / 255) ** 2)  # of each pixel that counts
    assert point.psnr == pytest.approx(-10 * math.log10((9 / 255) ** 2))
    expected = point.ms_ssim
    assert expected is not None and point.ms_ssim_db == metrics.ms_ssim_db(expected)
    assert point.bpp == 4.0


def test_a_picture_that_cannot_be_read_is_left_out(
    tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = picture(tmp_path / "a.png", 1), tmp_path / "b.png"
    bad.write_bytes(b"no picture")
    codec = FakeContender("fake", (1.0,), clock=clock)
    assert measure([codec], [bad, good]).pictures == [(good, 8, 6)]
    assert "image skipped: " in caplog.text and "b.png" in caplog.text
    with pytest.raises(ImageError, match="none of the 1 images"):
        measure([codec], [bad])
