"""Test the colours of transparent pixels: against a slow pyramid, independent of hidden colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimcae.images import Picture, filling
from slimcae.images.filling import fill_hidden


def slowly(pixels: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Compute the pyramid with loops, recursively; one channel."""
    height, width = visible.shape
    if visible.all():
        return pixels
    if height == width == 1:
        return np.array([[128]])
    half = np.zeros((-(-height // 2), -(-width // 2)), int)
    known = np.zeros(half.shape, bool)
    for y, x in np.ndindex(half.shape):
        part = pixels[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        values = part[visible[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]].tolist()
        if values:
            half[y, x] = (sum(values) + len(values) // 2) // len(values)
            known[y, x] = True
    half = slowly(half, known)
    result = pixels.copy()
    for y, x in zip(*np.nonzero(~visible), strict=True):
        total = 8
        for row, by_row in ((y // 2, 3), (y // 2 + (1 if y % 2 else -1), 1)):
            for column, by_column in ((x // 2, 3), (x // 2 + (1 if x % 2 else -1), 1)):
                row = min(max(row, 0), half.shape[0] - 1)
                column = min(max(column, 0), half.shape[1] - 1)
                total += by_row * by_column * int(half[row, column])
        result[y, x] = total // 16
    return result


@given(st.integers(1, 21), st.integers(1, 21), st.floats(0, 1), st.integers(0, 9))
def test_a_slow_pyramid_fills_alike(height: int, width: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    visible = rng.random((height, width)) < share
    filled = fill_hidden(pixels, visible)
    assert filled.dtype == np.uint8
    for channel in range(3):
        expected = slowly(pixels[:, :, channel].astype(int), visible)
        np.testing.assert_array_equal(filled[:, :, channel], expected)


def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (67, 53, 3), dtype=np.uint8)
    visible = rng.random((67, 53)) < 0.02
    whole = fill_hidden(pixels, visible)
    monkeypatch.setattr(filling, "_BAND_PIXELS", 300)
    np.testing.assert_array_equal(fill_hidden(pixels, visible), whole)


def test_what_lay_there_does_not_matter_and_what_is_seen_stays() -> None:
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:60, :80]
    alpha = np.where((rows - 30) ** 2 + (columns - 40) ** 2 < 500, 255, 0).astype(np.uint8)
    alpha[30, 40] = 1  # nearly invisible, but still visible
    seen = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for hidden in (0, 255, rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)):
        pixels = np.where(alpha[:, :, None] > 0, seen, hidden).astype(np.uint8)
        before = pixels.copy()
        picture = Picture(pixels, alpha=alpha)
        filled = picture.filled()
        np.testing.assert_array_equal(filled.pixels, Picture(seen, alpha=alpha).filled().pixels)
        np.testing.assert_array_equal(filled.pixels[alpha > 0], seen[alpha > 0])
        np.testing.assert_array_equal(pixels, before)
        assert filled.alpha is alpha


def test_flat_and_linear_colours_go_on_smoothly() -> None:
    visible = np.zeros((64, 64), bool)
    visible[:, 20:40] = True
    flat = np.full((64, 64, 3), (200, 100, 7), np.uint8)
    hidden = np.where(visible[:, :, None], flat, 0).astype(np.uint8)
    np.testing.assert_array_equal(fill_hidden(hidden, visible), flat)
    ramp = np.repeat(np.arange(64, dtype=np.uint8)[:, None, None] * 4, 64, 1).repeat(3, 2)
    filled = fill_hidden(np.where(visible[:, :, None], ramp, 0).astype(np.uint8), visible)
    assert np.abs(np.diff(filled.astype(int), axis=1)).max() <= 32  # no edge of 250 levels


def test_pictures_without_hidden_places_are_not_touched() -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)
    for alpha in (None, np.full((4, 5), 3, np.uint8)):
        picture = Picture(pixels, alpha=alpha)
        assert picture.visible is None
        assert picture.filled() is picture
    nothing = Picture(pixels, alpha=np.zeros((4, 5), np.uint8)).filled()
    np.testing.assert_array_equal(nothing.pixels, np.full((4, 5, 3), 128))
