"""Test transparent pictures: invisible pixels cost no bits and are not measured."""

import math

import numpy as np
import pytest
from PIL import Image
from tiny_codec import fitted_model, make_model

from conftest import smooth_pixels
from slimcae.codec import Codec, Target
from slimcae.images import Picture, read_picture
from slimcae.model.quality import Point

SEEN = smooth_pixels(90, 110, 5)
ROWS, COLUMNS = np.mgrid[:90, :110]
ALPHA = np.where((ROWS - 45) ** 2 + (COLUMNS - 55) ** 2 < 900, 255, 0).astype(np.uint8)
VISIBLE = ALPHA > 0
HIDDEN = {
    "black": np.zeros_like(SEEN),
    "white": np.full_like(SEEN, 255),
    "noise": np.random.default_rng(0).integers(0, 256, SEEN.shape, dtype=np.uint8),
}


def picture(hidden: str) -> Picture:
    return Picture(np.where(VISIBLE[:, :, None], SEEN, HIDDEN[hidden]), alpha=ALPHA)


def visible_psnr(codec: Codec, data: bytes) -> float:
    """Return the PSNR in dB by its definition."""
    decoded = np.asarray(codec.decompress(data))
    np.testing.assert_array_equal(decoded[:, :, 3], ALPHA)
    error = (decoded[:, :, :3].astype(float) - SEEN)[VISIBLE]
    return float(10 * math.log10(255**2 / (error**2).mean()))


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(fitted_model())


@pytest.mark.parametrize(
    "choice", [{"width": 8}, {"target_size": 500}, {"target_psnr": 32.0}, {"quality": 40}]
)
def test_hidden_colours_change_neither_bytes_nor_quality(
    codec: Codec, choice: dict[str, float]
) -> None:
    made = {codec.compress(picture(hidden), **choice) for hidden in HIDDEN}  # type: ignore[arg-type]
    assert len(made) == 1
    if "target_psnr" in choice:
        assert 32 <= visible_psnr(codec, made.pop()) < 33


@pytest.mark.parametrize("tile_side", [32, 1024])
def test_psnr_is_that_of_what_is_visible(tile_side: int) -> None:
    codec = Codec(make_model(0), tile_side=tile_side)
    draft = codec.draft(picture("noise"))
    for point in (Point(12, 0), Point(4, 3)):
        expected = visible_psnr(codec, draft.file(point).data)
        assert draft.encoding.psnr(point) == pytest.approx(expected, abs=1e-6)


def test_a_wholly_transparent_picture_comes_back(codec: Codec) -> None:
    nothing = Picture(HIDDEN["noise"], alpha=np.zeros_like(ALPHA))
    data = codec.compress(nothing, 4, verify=True)
    assert np.asarray(codec.decompress(data))[:, :, 3].max() == 0
    assert codec.draft(nothing).encoding.psnr(Point(4, 0)) == math.inf


@pytest.mark.parametrize("level", [0, 1, 129, 254])
def test_one_alpha_of_all_pixels_takes_13_bytes(codec: Codec, level: int) -> None:
    plain = codec.compress(Picture(SEEN), 8)
    constant = Picture(SEEN, alpha=np.full_like(ALPHA, level))
    data = codec.compress(constant, 8, verify=True)
    if level:  # invisible pixels are not coded
        assert len(data) == len(plain) + 13
    assert codec.encode(constant, Target(8)).alpha_bytes == 13
    for crop in (None, (5, 7, 20, 30)):
        image = codec.decompress(data, crop=crop)
        assert image.mode == "RGBA"
        assert image.getchannel("A").getextrema() == (level, level)
    almost = np.full_like(ALPHA, level)
    almost[-1, -1] ^= 1
    packed = codec.compress(Picture(SEEN, alpha=almost), 8, verify=True)
    np.testing.assert_array_equal(codec.decompress(packed).getchannel("A"), almost)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_an_opaque_alpha_channel_costs_nothing(codec: Codec, mode: str) -> None:
    """The format defines a picture without the chunk as opaque."""
    image = Image.fromarray(SEEN)
    source = image.convert("L" if mode == "LA" else "RGB").convert(mode)
    plain = image.convert("L") if mode == "LA" else source.convert("RGB")
    data = codec.compress(source, 8, verify=True)
    assert data == codec.compress(plain, 8)
    np.testing.assert_array_equal(np.asarray(codec.decompress(data).convert("RGBA"))[..., 3], 255)
    assert read_picture(source).alpha is None
