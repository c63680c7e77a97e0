"""The codec with a light model: sizes, tiles, crops and rates work as they do with the paper's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_codec import make_model

from conftest import smooth_pixels
from slimcae.codec import Codec
from slimcae.container import read_header
from slimcae.training.fitting import fit
from slimcae.transforms import open_transforms


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """Of a fitted model."""
    folder = tmp_path_factory.mktemp("pictures")
    paths: list[Path] = []
    for seed in range(3):
        paths.append(folder / f"{seed}.png")
        Image.fromarray(smooth_pixels(96, 128, seed)).save(paths[-1])
    model = make_model(0, architecture="light")
    found = fit(model, open_transforms(model, precision="float32"), paths, paths)
    info = replace(model.info, quality=found.quality)
    return Codec(replace(model, entropy_models=found.entropy_models, info=info))


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
    # the symbols of tiles are those of the whole, but for ties; so are the pixels
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
