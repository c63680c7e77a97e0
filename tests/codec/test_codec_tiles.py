"""Test tiles: their geometry, and that computing in tiles changes only the last bits."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_codec import make_model

from conftest import smooth_pixels
from optional_torch import HAS_TORCH
from slimcae.backend import has_bfloat16
from slimcae.codec import Codec
from slimcae.codec.tiles import Tile, covering, latent_grid, split
from slimcae.model.file import read_model
from slimcae.model.model import Model
from slimcae.model.registry import shipped_model

GRIDS = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(lambda s: Tile(0, 0, *s))


def test_sizes_round_up_to_whole_latents() -> None:
    assert latent_grid((1, 16), 16) == Tile(0, 0, 1, 1)
    assert latent_grid((17, 5000), 16) == Tile(0, 0, 2, 313)


@given(GRIDS, st.integers(1, 50))
def test_tiles_cover_every_latent_once(grid: Tile, side: int) -> None:
    covered = np.zeros((grid.height, grid.width), int)
    tiles = list(split(grid, side))
    for tile in tiles:
        covered[tile.slices(grid)] += 1
        assert tile.height <= side
        assert tile.width <= side
    assert (covered == 1).all()
    assert tiles == sorted(tiles, key=lambda tile: (tile.top, tile.left))


@given(GRIDS, st.integers(1, 20), st.data())
def test_a_region_is_covered_by_the_tiles_that_touch_it(
    grid: Tile, side: int, data: st.DataObject
) -> None:
    top = data.draw(st.integers(0, grid.height - 1))
    left = data.draw(st.integers(0, grid.width - 1))
    bottom = data.draw(st.integers(top + 1, grid.height))
    right = data.draw(st.integers(left + 1, grid.width))
    region = Tile(top, left, bottom, right)
    expected = [(n, tile) for n, tile in enumerate(split(grid, side)) if tile.touches(region)]
    assert list(covering(region, grid, side)) == expected


@pytest.fixture(scope="module")
def shipped() -> Model:
    return read_model(shipped_model())


@pytest.fixture(scope="module")
def tiny() -> Model:
    return make_model(0)


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (150, 170, 3), dtype=np.uint8)
    return [smooth_pixels(300, 210, 1), noise, smooth_pixels(1, 500, 2), smooth_pixels(500, 1, 3)]


@pytest.mark.parametrize("width", [192, 48])
@pytest.mark.parametrize("side", [64, 128])
def test_tiled_analysis_gives_the_same_symbols_but_for_ties(
    shipped: Model, width: int, side: int
) -> None:
    total = differ = 0
    for pixels in pictures():
        whole = (
            Codec(shipped, precision="float32", tile_side=1024).analyse(pixels, width).astype(int)
        )
        tiled = (
            Codec(shipped, precision="float32", tile_side=side).analyse(pixels, width).astype(int)
        )
        assert np.abs(whole - tiled).max() <= 1
        total += whole.size
        differ += int(np.count_nonzero(whole != tiled))
    assert differ <= 1e-4 * total


@pytest.mark.parametrize("width", [192, 48])
@pytest.mark.parametrize("side", [64, 128])
def test_tiled_synthesis_differs_by_one_level_at_most(
    shipped: Model, width: int, side: int
) -> None:
    for pixels in pictures():
        symbols = Codec(shipped, precision="float32").analyse(pixels, width, step=3)
        size = (pixels.shape[0], pixels.shape[1])
        whole = (
            Codec(shipped, precision="float32", tile_side=1024)
            .synthesise(symbols, size, width, step=3)
            .astype(int)
        )
        tiled = (
            Codec(shipped, precision="float32", tile_side=side)
            .synthesise(symbols, size, width, step=3)
            .astype(int)
        )
        assert whole.shape == tiled.shape == pixels.shape
        assert np.abs(whole - tiled).max() <= 1


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / ((a.astype(float) - b.astype(float)) ** 2).mean()))


PHOTO = Path(__file__).parents[2] / "examples" / "images" / "parrots.png"


@pytest.mark.skipif(
    not (HAS_TORCH and has_bfloat16()),
    reason="bfloat16 is refused here: without torch, or where the processor emulates it",
)
@pytest.mark.parametrize("width", [192, 48])
def test_reduced_precision_costs_little_and_has_no_seams(shipped: Model, width: int) -> None:
    with Image.open(PHOTO) as image:
        pixels = np.asarray(image)[:384, :384]
    size, side = (384, 384), 64
    exact = Codec(shipped, precision="float32")
    symbols = exact.analyse(pixels, width)
    reference = exact.synthesise(symbols, size, width)
    whole = Codec(shipped, precision="bfloat16")
    tiled = Codec(shipped, precision="bfloat16", tile_side=side)
    best = psnr(reference, pixels)
    assert psnr(tiled.synthesise(symbols, size, width), pixels) > best - 0.02  # only the decoder
    ours = tiled.synthesise(tiled.analyse(pixels, width), size, width)
    theirs = whole.synthesise(whole.analyse(pixels, width), size, width)
    assert psnr(ours, pixels) > best - 0.05  # encoder and decoder together
    assert psnr(ours, pixels) == pytest.approx(psnr(theirs, pixels), abs=0.02)
    # errors of reduced precision are spread as without tiles, also along borders of tiles
    errors = [np.abs(image.astype(float) - reference).mean(axis=2) for image in (ours, theirs)]
    borders = np.arange(side, 384, side)
    for axis in (0, 1):
        tiled_lines, whole_lines = (error.mean(axis=axis) for error in errors)
        difference = np.abs(tiled_lines - whole_lines)
        for lines in (borders - 1, borders):
            assert difference[lines].max() < 0.1 * whole_lines.mean()


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_no_pixel_by_more_than_a_level(tiny: Model, threads: int) -> None:
    pixels = smooth_pixels(200, 180, 5)
    codec = Codec(tiny, precision="float32")
    symbols = codec.analyse(pixels, 12)
    expected = codec.synthesise(symbols, (200, 180), 12).astype(int)
    tiled = Codec(tiny, precision="float32", tile_side=64, threads=threads)
    found = tiled.synthesise(symbols, (200, 180), 12).astype(int)
    assert np.abs(found - expected).max() <= 1
