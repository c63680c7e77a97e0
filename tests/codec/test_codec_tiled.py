"""Test tiles with any transforms: the windows that simple hand-made transforms get."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from optional_torch import SlimCAE, to_model
from slimcae.codec import Codec
from slimcae.codec.tiled import TiledTransforms, quantise
from slimcae.codec.tiles import Tile, split
from slimcae.model.architecture import slimcae
from slimcae.model.config import SlimCAEConfig
from slimcae.transforms import Pixels, Residuals, Symbols

ARCHITECTURE = slimcae(SlimCAEConfig((3,)))
HALO = 2


class Means:
    """Block transforms: latents are the means of 16 × 16 pixels, and pixels repeat the latents."""

    device, precision, threads = "cpu", "float32", 1
    machine, backend, runtime = "a machine", "numpy", "numpy 2"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def residuals(self, pixels: Pixels, width: int) -> Residuals:
        self.shapes.append(pixels.shape)
        height, columns, channels = pixels.shape
        blocks = pixels.reshape(height // 16, 16, columns // 16, 16, channels).astype(np.float32)
        found: Residuals = blocks.mean(axis=(1, 3)).transpose(2, 0, 1)[:width]
        return found

    def pixels(self, symbols: Symbols, width: int, delta: float) -> Pixels:
        self.shapes.append(symbols.shape)
        assert len(symbols) == width
        levels = np.clip(np.rint(delta * symbols), 0, 255).astype(np.uint8)
        found: Pixels = levels.transpose(1, 2, 0).repeat(16, axis=0).repeat(16, axis=1)
        return found


def means_of(pixels: np.ndarray) -> np.ndarray:
    """Return the means of blocks, with those at the edges filled with the last row and column."""
    height, columns, _ = pixels.shape
    filled = np.pad(pixels, ((0, -height % 16), (0, -columns % 16), (0, 0)), mode="edge")
    rows, places = filled.shape[0] // 16, filled.shape[1] // 16
    found = np.empty((3, rows, places))
    for i in range(rows):
        for j in range(places):
            found[:, i, j] = filled[16 * i : 16 * i + 16, 16 * j : 16 * j + 16].mean(axis=(0, 1))
    return found


@settings(max_examples=40)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 8), st.integers(0, 9))
def test_tiles_come_out_as_the_whole_picture_would(
    height: int, columns: int, side: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, columns, 3), dtype=np.uint8)
    means = Means()
    tiled = TiledTransforms(means, ARCHITECTURE)
    grid = tiled.grid((height, columns))
    expected = means_of(pixels)
    assert (grid.height, grid.width) == expected.shape[1:]
    for tile in split(grid, side):
        found = tiled.residuals(pixels, tile, 3)
        np.testing.assert_allclose(found, expected[:, *tile.slices(grid)], rtol=1e-6)
        assert found.flags.c_contiguous
    symbols = quantise(expected.astype(np.float32), 2.0)
    image = tiled.image(symbols, (height, columns), 3, 2.0, side)
    blocks = np.clip(2 * symbols, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    whole = blocks.repeat(16, axis=0).repeat(16, axis=1)
    np.testing.assert_array_equal(image, whole[:height, :columns])


def test_a_window_is_the_tile_with_its_neighbourhood_as_far_as_there_is_one() -> None:
    means = Means()
    tiled = TiledTransforms(means, ARCHITECTURE)
    assert (ARCHITECTURE.analysis_halo, ARCHITECTURE.synthesis_halo) == (HALO, HALO)
    pixels = np.zeros((16 * 10 - 5, 16 * 12, 3), np.uint8)
    tiled.residuals(pixels, Tile(4, 4, 6, 7), 3)
    tiled.residuals(pixels, Tile(0, 0, 1, 1), 3)
    tiled.residuals(pixels, Tile(9, 11, 10, 12), 3)  # the last latents, padded
    latents = [(2 + 2 * HALO, 3 + 2 * HALO), (1 + HALO, 1 + HALO), (1 + HALO, 1 + HALO)]
    assert means.shapes == [(16 * rows, 16 * places, 3) for rows, places in latents]
    means.shapes.clear()
    region = Tile(2, 3, 9, 11)
    symbols = np.zeros((3, region.height, region.width), np.int16)
    found = tiled.pixels(symbols, region, Tile(2, 5, 4, 7), 3, 1.0)
    assert means.shapes == [(3, 2 + HALO, 2 + 2 * HALO)]
    assert found.shape == (32, 32, 3)


@pytest.mark.parametrize("tile_side", [16, 64, 1024])
def test_a_codec_runs_on_any_transforms(tile_side: int) -> None:
    """Each block of 16 × 16 pixels becomes its mean, in steps of Δ."""
    model = to_model(SlimCAE(SlimCAEConfig((3,))), steps=(1.0, 2.5))
    codec = Codec(model, Means(), tile_side=tile_side)
    pixels = np.random.default_rng(1).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    data = codec.compress(Image.fromarray(pixels), 3, step=1, verify=True)
    expected = np.rint(np.rint(means_of(pixels) / 2.5) * 2.5).transpose(1, 2, 0)
    whole = expected.clip(0, 255).astype(np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    np.testing.assert_array_equal(np.asarray(codec.decompress(data)), whole[:90, :130])
    np.testing.assert_array_equal(codec.read_symbols(data), codec.analyse(pixels, 3, 1))


def test_a_watcher_is_called_before_each_tile_and_may_end_the_work() -> None:
    class Stop(Exception):
        pass

    calls: list[int] = []

    def watch() -> None:
        calls.append(len(means.shapes))
        if len(calls) == 3:
            raise Stop

    means = Means()
    tiled = TiledTransforms(means, ARCHITECTURE, watch)
    symbols = np.zeros((3, 4, 4), np.int16)
    with pytest.raises(Stop):
        tiled.image(symbols, (64, 64), 3, 1.0, 1)
    assert calls == [0, 1, 2]
    assert len(means.shapes) == 2


@given(
    st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=9),
    st.floats(0.25, 4),
)
def test_symbols_are_the_nearest_whole_steps_within_the_limit(
    values: list[float], delta: float
) -> None:
    residuals = np.array(values, np.float32)
    symbols = quantise(residuals, delta)
    assert symbols.dtype == np.int16
    exact = np.clip(residuals.astype(float) / float(np.float32(delta)), -32767, 32767)
    assert np.abs(symbols - exact).max() <= 0.5 + 4e-3  # float32 divides, up to 32767
