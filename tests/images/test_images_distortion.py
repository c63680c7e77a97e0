import math

import numpy as np
import pytest

from conftest import smooth_pixels
from slimcae.images import distortion
from slimcae.images.distortion import mse, psnr, squared_error


@pytest.mark.parametrize("band", [1, 70 * 7, 2**20])
def test_bands_of_rows_change_nothing(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distortion, "_BAND_PIXELS", band)
    first, second = smooth_pixels(50, 70, 0), smooth_pixels(50, 70, 1)
    pairs = zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)
    assert squared_error(first, second) == sum((a - b) ** 2 for a, b in pairs)


def test_known_values() -> None:
    assert psnr(mse(255**2 * 12, 12)) == 0
    assert psnr(mse(12, 12)) == pytest.approx(20 * math.log10(255))
    assert psnr(0.0) == math.inf
    black, white = np.zeros((1, 2, 3), np.uint8), np.full((1, 2, 3), 255, np.uint8)
    assert squared_error(black, white) == squared_error(white, black) == 6 * 255**2


@pytest.mark.parametrize("band", [1, 70 * 7, 2**20])
def test_only_visible_pixels_count(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distortion, "_BAND_PIXELS", band)
    first, second = smooth_pixels(50, 70, 0), smooth_pixels(50, 70, 1)
    visible = np.random.default_rng(0).random((50, 70)) < 0.3
    pairs = zip(first[visible].ravel().tolist(), second[visible].ravel().tolist(), strict=True)
    assert squared_error(first, second, visible) == sum((a - b) ** 2 for a, b in pairs)
    assert squared_error(first, second, np.zeros((50, 70), bool)) == 0
    assert mse(0, 0) == 0
