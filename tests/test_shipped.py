"""Test the packaged model: rate control on a photo does what README promises."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import slimcae
from slimcae.codec import Codec
from slimcae.images import Picture

PHOTO = Path(__file__).parents[1] / "examples" / "images" / "parrots.png"


@pytest.fixture(scope="module")
def codec() -> Codec:
    return slimcae.load()


@pytest.fixture(scope="module")
def picture() -> Picture:
    with Image.open(PHOTO) as image:
        return Picture(np.asarray(image)[100:356, 200:456])


def psnr(picture: Picture, codec: Codec, data: bytes) -> float:
    decoded = np.asarray(codec.decompress(data)).astype(float)
    return float(10 * np.log10(255**2 / ((decoded - picture.pixels) ** 2).mean()))


def test_quality_goes_up_and_bytes_with_it(codec: Codec, picture: Picture) -> None:
    files = [codec.compress(picture, quality=q) for q in range(0, 101, 10)]
    sizes = [len(file) for file in files]
    for smaller, larger in pairwise(sizes):
        assert larger >= 0.98 * smaller
    assert sizes[-1] > 10 * sizes[0]
    assert psnr(picture, codec, files[-1]) > psnr(picture, codec, files[0]) + 8


@pytest.mark.parametrize("target", [1500, 4000, 8000])
def test_sizes_are_kept_and_used(codec: Codec, picture: Picture, target: int) -> None:
    size = len(codec.compress(picture, target_size=target))
    assert 0.92 * target <= size <= target
    bpp = 8 * target / picture.pixels[..., 0].size
    assert len(codec.compress(picture, bpp=bpp)) == size


@pytest.mark.parametrize("target", [28.0, 31.0, 34.0])
def test_psnrs_are_reached_and_hardly_passed(codec: Codec, picture: Picture, target: float) -> None:
    assert (
        target <= psnr(picture, codec, codec.compress(picture, target_psnr=target)) <= target + 0.5
    )
