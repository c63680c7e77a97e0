"""Test parts of pictures: correct pixels, and only the necessary tiles are read."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_codec import make_model

from conftest import smooth_pixels
from slimcae import container
from slimcae.codec import Codec
from slimcae.errors import BitstreamError, ConfigError

HEIGHT, WIDTH = 210, 300


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(make_model(0), tile_side=64)


@pytest.fixture(scope="module")
def data(codec: Codec) -> bytes:
    rgb = smooth_pixels(HEIGHT, WIDTH, 1)
    alpha = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    return codec.compress(Image.fromarray(np.dstack([rgb, alpha])), 8)


@settings(max_examples=40)
@given(st.data())
def test_any_crop_is_the_part_of_the_whole(codec: Codec, data: bytes, draw: st.DataObject) -> None:
    x = draw.draw(st.integers(0, WIDTH - 1))
    y = draw.draw(st.integers(0, HEIGHT - 1))
    columns = draw.draw(st.integers(1, WIDTH - x))
    rows = draw.draw(st.integers(1, HEIGHT - y))
    whole = np.asarray(codec.decompress(data)).astype(int)
    part = np.asarray(codec.decompress(data, crop=(x, y, columns, rows))).astype(int)
    expected = whole[y : y + rows, x : x + columns]
    assert part.shape == expected.shape
    assert np.abs(part[..., :3] - expected[..., :3]).max() <= 1
    np.testing.assert_array_equal(part[..., 3], expected[..., 3])


class CountingFile(BytesIO):
    """A file that counts the bytes that are read from it."""

    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.bytes_read += len(found)
        return found


def test_only_the_tiles_of_a_crop_are_read(codec: Codec) -> None:
    larger = Codec(codec.model, tile_side=256)
    data = larger.compress(Image.fromarray(smooth_pixels(640, 640, 2)), 12)
    file = CountingFile(data)
    codec.decompress(file, crop=(320, 320, 30, 30))
    tiles = container.read(data).tiles
    # with its neighbourhood of two latents the crop lies within tile row 1, column 1 of 3 x 3;
    # the head is read twice, since its first bytes say how long it is
    assert file.bytes_read <= 2 * (len(data) - sum(map(len, tiles))) + len(tiles[4])
    file = CountingFile(data)
    codec.decompress(file)
    assert file.bytes_read >= len(data)


def test_damage_elsewhere_does_not_reach_a_crop(codec: Codec) -> None:
    data = bytearray(codec.compress(Image.fromarray(smooth_pixels(200, 200, 3)), 12))
    data[-1] ^= 1  # in the last tile
    part = codec.decompress(bytes(data), crop=(0, 0, 20, 20))
    assert part.size == (20, 20)
    with pytest.raises(BitstreamError, match="checksum"):
        codec.decompress(bytes(data), crop=(190, 190, 10, 10))
    with pytest.raises(BitstreamError, match="checksum"):
        codec.decompress(bytes(data))


def test_a_path_serves_as_well(codec: Codec, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.scae"
    path.write_bytes(data)
    expected = codec.decompress(data, crop=(5, 6, 70, 80))
    assert codec.decompress(path, crop=(5, 6, 70, 80)) == expected
    assert codec.decompress(str(path), crop=(5, 6, 70, 80)) == expected
    with pytest.raises(BitstreamError, match="nothing"):
        codec.decompress(tmp_path / "nothing.scae")


@pytest.mark.parametrize(
    "crop",
    [
        *[
            (-1, 0, 5, 5),
            (0, -1, 5, 5),
            (0, 0, 0, 5),
            (0, 0, 5, -5),
            (296, 0, 5, 5),
            (0, 206, 5, 5),
        ],
        *[(0, 0, 5), (0, 0, 5, 5, 5), (0, 0, 5.5, 5), (0, 0, "5", 5)],
    ],
)
def test_crops_beyond_the_picture_are_refused(
    codec: Codec, data: bytes, crop: tuple[int, int, int, int]
) -> None:
    with pytest.raises(ConfigError, match="crop"):
        codec.decompress(data, crop=crop)


def test_a_crop_may_be_numpys_integers(codec: Codec, data: bytes) -> None:
    crop = tuple(np.array([5, 6, 70, 80]))
    assert codec.decompress(data, crop=crop) == codec.decompress(data, crop=(5, 6, 70, 80))


def test_the_limit_on_pixels_is_that_of_the_part(codec: Codec, data: bytes) -> None:
    with pytest.raises(BitstreamError, match="limit"):
        codec.decompress(data, max_pixels=HEIGHT * WIDTH - 1)
    assert codec.decompress(data, crop=(0, 0, 10, 10), max_pixels=100).size == (10, 10)
    with pytest.raises(BitstreamError, match="limit"):
        codec.decompress(data, crop=(0, 0, 10, 11), max_pixels=100)
