import math
import warnings

import numpy as np
import pytest

from slimcae.errors import ImageError
from slimcae.evaluation.metrics import ms_ssim, ms_ssim_db, mse, psnr

RNG = np.random.default_rng(7)


def noisy_pair(height: int, width: int, noise: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:height, :width]
    waves = [127 + 100 * np.sin(rows / (9 + c) + columns / (13 - c)) for c in range(3)]
    clean = np.stack(waves, axis=-1).astype(np.uint8)
    error = RNG.integers(-noise, noise + 1, clean.shape)
    return clean, np.clip(clean + error, 0, 255).astype(np.uint8)


def test_mse_and_psnr_equal_a_loop_over_the_pixels() -> None:
    x, y = (RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8) for _ in range(2))
    total = 0
    for a, b in zip(x.ravel().tolist(), y.ravel().tolist(), strict=True):
        total += (a - b) ** 2
    error_255 = total / (5 * 7 * 3)
    assert mse(x, y) == pytest.approx(error_255 / 65025, rel=1e-14)
    assert psnr(x, y) == pytest.approx(10 * math.log10(255**2 / error_255), rel=1e-14)


def test_known_values() -> None:
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert mse(black, white) == mse(white, black) == 1.0
    assert psnr(black, white) == 0.0
    one_level = np.full((4, 4, 3), 1, np.uint8)
    assert psnr(black, one_level) == pytest.approx(48.1308036)


def test_identical_pictures() -> None:
    x, _ = noisy_pair(170, 180, 0)
    assert mse(x, x) == 0
    assert psnr(x, x) == math.inf
    value = ms_ssim(x, x)
    assert value is not None
    assert 1 - 1e-6 < value <= 1


@pytest.mark.parametrize("metric", [mse, psnr, ms_ssim])
def test_different_sizes_are_an_image_error(metric: object) -> None:
    x, y = np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)
    assert callable(metric)
    with pytest.raises(ImageError, match=r"4×5×3 .* 5×4×3"):
        metric(x, y)


def ms_ssim_of_the_paper(x: np.ndarray, y: np.ndarray) -> float:
    """Return MS-SSIM of one channel in float64, from Wang, Simoncelli and Bovik (2003)."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def blur(plane: np.ndarray) -> np.ndarray:
        patches = np.lib.stride_tricks.sliding_window_view(plane, (11, 11))
        blurred: np.ndarray = np.einsum("hwij,ij->hw", patches, window)
        return blurred

    def halve(plane: np.ndarray) -> np.ndarray:
        height, width = plane.shape
        blocks = plane.reshape(height // 2, 2, width // 2, 2)
        halved: np.ndarray = blocks.mean(axis=(1, 3))
        return halved

    x, y = x.astype(float), y.astype(float)
    product = 1.0
    for exponent in (0.0448, 0.2856, 0.3001, 0.2363, 0.1333):
        mean_x, mean_y = blur(x), blur(y)
        spread = blur(x * x) - mean_x**2 + blur(y * y) - mean_y**2
        structure = (2 * (blur(x * y) - mean_x * mean_y) + c2) / (spread + c2)
        if exponent == 0.1333:  # the coarsest scale includes the luminance
            structure *= (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        product *= float(structure.mean()) ** exponent
        if exponent != 0.1333:
            x, y = halve(x), halve(y)
    return product


@pytest.mark.parametrize("noise", [2, 20, 90])
def test_ms_ssim_equals_the_paper(noise: int) -> None:
    x, y = noisy_pair(176, 192, noise)
    expected = sum(ms_ssim_of_the_paper(x[..., c], y[..., c]) for c in range(3)) / 3
    assert ms_ssim(x, y) == pytest.approx(expected, abs=2e-6)
    assert expected < 0.9999


@pytest.mark.parametrize("noise", [2, 20, 90])
def test_ms_ssim_agrees_with_torchmetrics(noise: int) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchmetrics' own imports
        from torchmetrics.functional.image import (
            multiscale_structural_similarity_index_measure as oracle,
        )
    x, y = noisy_pair(176, 192, noise)
    # per channel: torchmetrics averages channels before it multiplies the scales
    planes = [torch.from_numpy(p).permute(2, 0, 1)[:, None].double() for p in (x, y)]
    each = [oracle(a[None], b[None], data_range=255.0) for a, b in zip(*planes, strict=True)]
    # not equal: at the coarsest scale it reflects the picture at its border
    assert ms_ssim(x, y) == pytest.approx(float(sum(each)) / 3, abs=2e-4)


def test_ms_ssim_needs_161_pixels_on_each_side() -> None:
    x, y = noisy_pair(200, 161, 10)
    assert ms_ssim(x, y) is not None
    assert ms_ssim(x[:, :160], y[:, :160]) is None
    assert ms_ssim(x[:160], y[:160]) is None


def test_ms_ssim_takes_read_only_pixels() -> None:
    x, y = noisy_pair(161, 161, 10)
    x.flags.writeable = False
    assert ms_ssim(x, y) is not None


def test_ms_ssim_in_db() -> None:
    assert ms_ssim_db(0.9) == pytest.approx(10)
    assert ms_ssim_db(0.999) == pytest.approx(30)
    assert ms_ssim_db(0.0) == 0
    assert ms_ssim_db(1.0) == math.inf


def test_what_is_not_visible_does_not_count() -> None:
    x, y = noisy_pair(170, 180, 30)
    visible = np.zeros((170, 180), bool)
    visible[:100, :90] = True
    assert mse(x, y, visible) == pytest.approx(mse(x[:100, :90], y[:100, :90]), rel=1e-14)
    assert psnr(x, y, visible) == pytest.approx(psnr(x[:100, :90], y[:100, :90]), rel=1e-14)
    spoilt = np.where(visible[:, :, None], y, 255 - y).astype(np.uint8)
    assert psnr(x, spoilt, visible) == psnr(x, y, visible)
    assert ms_ssim(x, spoilt, visible) == ms_ssim(x, np.where(visible[:, :, None], y, x))
    assert psnr(x, y, np.zeros((170, 180), bool)) == math.inf
