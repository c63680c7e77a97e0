"""Test the codec with a light model: sizes, tiles, crops and rates work as with the paper's."""

import numpy as np
import pytest
from PIL import Image
from tiny_codec import fitted_model, make_network

from conftest import smooth_pixels
from optional_torch import to_model, torch
from slimcae.codec import Codec
from slimcae.codec.tiled import TiledTransforms
from slimcae.codec.tiles import Tile
from slimcae.container import read_header
from slimcae.transforms import open_transforms


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(fitted_model("light"))


@pytest.fixture
def tiled() -> TiledTransforms:
    """Return a network in which every neighbour has weight, unlike the blocks of a warm start."""
    network = make_network(0, "light")
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("depthwise.weight", "lap2.weight", "lap3.weight")):
                parameter.normal_()
            elif name.endswith("project.weight"):
                parameter.normal_(std=0.3)
        # a picture of ordinary contrast
        made = network.g_s(9 * torch.randn(1, 12, 8, 8), 12)
        network.g_s.render.weight.mul_(0.2 / made.std())
    model = to_model(network, steps=(1.0,))
    return TiledTransforms(open_transforms(model, precision="float32"), model.architecture)


GRID, TILE = Tile(0, 0, 17, 18), Tile(7, 8, 9, 9)
HALO = 5
"""docs/format.md, "Parts of a picture"."""


@pytest.mark.parametrize("width", [12, 8])
def test_pixels_of_a_tile_need_five_latents_around_it_and_no_more(
    tiled: TiledTransforms, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(width)
    symbols = rng.integers(-9, 10, (width, GRID.height, GRID.width)).astype(np.int16)

    def whole(symbols: np.ndarray) -> np.ndarray:
        pixels = tiled.pixels(symbols, GRID, GRID, width, 1.0)
        return np.asarray(pixels[TILE.slices(GRID, 16)], int)

    def part(symbols: np.ndarray) -> np.ndarray:
        return np.asarray(tiled.pixels(symbols, GRID, TILE, width, 1.0), int)

    expected = whole(symbols)
    assert expected.std() > 10
    assert np.abs(part(symbols) - expected).max() <= 1
    for distance, matters in ((HALO + 1, False), (HALO, True)):
        changed = symbols.copy()
        changed[:, TILE.top - distance], changed[:, :, TILE.right - 1 + distance] = 9000, -9000
        assert (np.abs(whole(changed) - expected).max() > 1) == matters
        assert np.abs(part(changed) - whole(changed)).max() <= 1
    monkeypatch.setitem(vars(tiled.architecture), "synthesis_halo", HALO - 1)
    assert np.abs(part(changed) - whole(changed)).max() > 1


@pytest.mark.parametrize("width", [12, 8])
def test_latents_of_a_tile_are_those_of_the_whole(
    tiled: TiledTransforms, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (270, 280, 3), dtype=np.uint8)
    whole = tiled.residuals(pixels, GRID, width)[:, *TILE.slices(GRID)]

    def error() -> float:
        return float(np.abs(tiled.residuals(pixels, TILE, width) - whole).max())

    assert error() < 1e-5 * np.abs(whole).max()
    # only the nearest pixels depend on the fifth latent, and only weakly
    monkeypatch.setitem(vars(tiled.architecture), "analysis_halo", HALO - 2)
    assert error() > 1e-4 * np.abs(whole).max()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / ((a.astype(float) - b.astype(float)) ** 2).mean()))


@pytest.mark.parametrize("width", [12, 8, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 1), (15, 17), (64, 50)], ids=str)
def test_any_size_comes_back(codec: Codec, width: int, size: tuple[int, int]) -> None:
    image = Image.fromarray(smooth_pixels(*size, seed=1))
    restored = codec.decompress(codec.compress(image, width))
    assert restored.size == image.size
    # a flat picture has 13 dB; a quarter of width 4 is one channel, too few for colours
    assert psnr(np.asarray(image), np.asarray(restored)) > {12: 22, 8: 18, 4: 15}[width]


@pytest.mark.parametrize("width", [12, 4])
def test_tiles_have_no_seams(codec: Codec, width: int) -> None:
    image = Image.fromarray(smooth_pixels(200, 150, seed=3))
    small = Codec(codec.model, tile_side=32)
    whole, tiled = codec.compress(image, width), small.compress(image, width)
    assert read_header(tiled).num_tiles == 7 * 5
    # symbols of tiles equal those of the whole except for ties, and so do pixels
    assert np.mean(codec.read_symbols(whole) != codec.read_symbols(tiled)) < 1e-3
    difference = np.abs(
        np.asarray(codec.decompress(whole), int) - np.asarray(codec.decompress(tiled), int)
    )
    assert np.mean(difference > 1) < 1e-3


def test_a_crop_is_the_part_of_the_whole(codec: Codec) -> None:
    small = Codec(codec.model, tile_side=32)
    data = small.compress(Image.fromarray(smooth_pixels(230, 190, seed=4)), 8)
    whole = np.asarray(codec.decompress(data), int)
    for x, y, width, height in ((0, 0, 1, 1), (90, 100, 40, 30), (3, 200, 187, 30)):
        part = np.asarray(codec.decompress(data, crop=(x, y, width, height)), int)
        assert np.abs(part - whole[y : y + height, x : x + width]).max() <= 1


def test_rates_are_kept(codec: Codec) -> None:
    image = Image.fromarray(smooth_pixels(96, 128, seed=7))
    sizes = [len(codec.compress(image, quality=q)) for q in (5, 30, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 1.5 * sizes[0]
    data = codec.compress(image, target_size=sizes[2])
    assert sizes[1] < len(data) <= sizes[2]
