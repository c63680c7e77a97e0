"""Test PNG's transparent colours, compared at the file's depth, for every depth and kind."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from made_files import png
from PIL import Image, ImageOps

from slimcae.images import read_picture

GREY, RGB, PALETTE = 0, 2, 3
RNG = np.random.default_rng(0)


def trns(*samples: int) -> tuple[bytes, bytes]:
    return b"tRNS", struct.pack(f">{len(samples)}H", *samples)


@pytest.mark.parametrize(
    ("depth", "key"),
    [(depth, key) for depth in (1, 2, 4) for key in range(2**depth)]
    + [(8, key) for key in (0, 1, 3, 85, 200, 255)]
    + [(16, key) for key in (0, 1, 255, 256, 0x1234, 65535)],
)
def test_a_transparent_grey(depth: int, key: int) -> None:
    samples = RNG.integers(0, 2**depth, (9, 13, 1))
    samples[2:4, 5:9] = key
    samples[5, 5] = (key + 1) % 2**depth  # a neighbour that is not another 8-bit level
    picture = read_picture(io.BytesIO(png(samples, depth, GREY, trns(key))))
    expected = np.where(samples[:, :, 0] == key, 0, 255)
    np.testing.assert_array_equal(picture.alpha, expected)
    levels = np.rint(samples[:, :, 0] * 255 / (2**depth - 1))
    np.testing.assert_array_equal(picture.pixels[:, :, 0], levels)
    assert picture.grey


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("key", [(0, 0, 0), (1, 2, 3), (255, 254, 253), (200, 0, 200)])
def test_a_transparent_colour(depth: int, key: tuple[int, int, int]) -> None:
    if depth == 16:
        key = (key[0] * 256 + 7, key[1] * 256 + 200, key[2] * 256)
    samples = RNG.integers(0, 2**depth, (9, 13, 3))
    samples[2:4, 5:9] = key
    samples[5, 5] = samples[6, 6] = key
    samples[5, 5, 1] ^= 1  # another colour whose 16-bit values have the same upper bytes
    samples[6, 6, 2] ^= 1
    picture = read_picture(io.BytesIO(png(samples, depth, RGB, trns(*key))))
    expected = np.where((samples == key).all(axis=2), 0, 255)
    assert expected[5, 5] == expected[6, 6] == 255
    np.testing.assert_array_equal(picture.alpha, expected)
    np.testing.assert_array_equal(picture.pixels, samples >> (depth - 8))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_bits_above_the_depth_do_not_count(depth: int) -> None:
    samples = RNG.integers(0, 2**depth, (9, 13, 1))
    for key in (0, 1):
        picture = read_picture(io.BytesIO(png(samples, depth, GREY, trns(key | 1 << depth))))
        np.testing.assert_array_equal(picture.alpha, np.where(samples[:, :, 0] == key, 0, 255))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("opacities", [b"\0", b"\xff\0", b"\x80\x10"])
def test_transparent_palettes(depth: int, opacities: bytes) -> None:
    samples = RNG.integers(0, 2**depth, (9, 13, 1))
    samples[0, :2, 0] = 0, 1
    colours = RNG.integers(0, 256, (2**depth, 3), dtype=np.uint8)
    chunks = (b"PLTE", colours.tobytes()), (b"tRNS", opacities)
    picture = read_picture(io.BytesIO(png(samples, depth, PALETTE, *chunks)))
    table = np.full(256, 255)
    table[: len(opacities)] = list(opacities)
    np.testing.assert_array_equal(picture.alpha, table[samples[:, :, 0]])
    np.testing.assert_array_equal(picture.pixels, colours[samples[:, :, 0]])


def test_an_orientation_turns_the_transparent_places_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    samples = RNG.integers(0, 4, (9, 13, 1))
    data = png(samples, 2, GREY, trns(2), (b"eXIf", exif.tobytes()[6:]))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    picture = read_picture(io.BytesIO(data))
    np.testing.assert_array_equal(picture.alpha, np.rot90(samples[:, :, 0] != 2, -1) * 255)
    np.testing.assert_array_equal(picture.pixels[:, :, 0], np.asarray(expected.convert("L")))


@pytest.mark.parametrize("depth", [2, 8, 16])
def test_images_that_were_loaded_are_transparent_at_the_same_places(
    tmp_path: Path, depth: int
) -> None:
    samples = RNG.integers(0, 2**depth, (9, 13, 1 if depth == 2 else 3))
    samples[5, 5] = samples[6, 6]
    samples[5, 5, 0] ^= 1
    key = tuple(samples[6, 6].tolist())
    path = tmp_path / "a.png"
    path.write_bytes(png(samples, depth, GREY if depth == 2 else RGB, trns(*key)))
    image = Image.open(path)
    before = dict(image.info)
    image.load()
    picture = read_picture(image)
    assert image.info == before
    np.testing.assert_array_equal(picture.alpha, np.where((samples == key).all(axis=2), 0, 255))


def test_a_key_of_an_image_without_a_file_is_what_pillow_says() -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8))
    image.info["transparency"] = (1, 2, 3)
    np.testing.assert_array_equal(read_picture(image).alpha, [[0, 255]])
    grey = Image.fromarray(np.array([[7, 9]], np.uint8))
    grey.info["transparency"] = 9
    np.testing.assert_array_equal(read_picture(grey).alpha, [[255, 0]])
