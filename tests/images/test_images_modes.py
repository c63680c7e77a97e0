"""Test every mode of Pillow, for whole pictures and boxes."""

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps
from read_pictures import assert_picture, three

from slimcae.images import read_picture


def random_image(mode: str, size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Return a picture with random bits; palettes have colours and, for P, opacities."""
    rng = np.random.default_rng(seed)
    width, height = size
    if mode == "F":
        return Image.fromarray(rng.uniform(0, 1, (height, width)).astype(np.float32))
    if mode == "I":
        return Image.fromarray(rng.integers(0, 65536, (height, width), np.int32))
    if mode == "1":
        return Image.fromarray(rng.integers(0, 2, (height, width), np.uint8) == 1)
    count = 2 if mode.startswith("I;16") else Image.getmodebands(mode)
    image = Image.frombytes(mode, size, rng.bytes(width * height * count))
    if mode in ("P", "PA"):
        image.putpalette(rng.bytes(768))
    if mode == "P":
        image.info["transparency"] = rng.bytes(256)
    return image


MODES = {
    **dict.fromkeys(["1", "L"], "L"),
    **dict.fromkeys(["LA", "La"], "LA"),
    **dict.fromkeys(["RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"], "RGB"),
    **dict.fromkeys(["P", "PA", "RGBA", "RGBa"], "RGBA"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(7, 5), (1100, 1001)])  # one box and several
def test_every_mode_is_converted_as_pillow_does(mode: str, size: tuple[int, int]) -> None:
    image = random_image(mode, size)
    picture = read_picture(image)
    expected = np.asarray(image.convert(MODES[mode]))
    expected = expected.reshape(*expected.shape[:2], -1)
    alpha = expected[:, :, -1] if MODES[mode].endswith("A") else None
    colours = expected[:, :, :3] if MODES[mode].startswith("RGB") else three(expected[:, :, 0])
    assert_picture(picture, colours, grey=MODES[mode].startswith("L"), alpha=alpha)


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B", "I;16L", "F"])
@pytest.mark.parametrize("size", [(7, 5), (1100, 1001)])
def test_every_deep_mode_is_reduced(mode: str, size: tuple[int, int]) -> None:
    image = random_image(mode, size)
    values = np.asarray(image).astype(float)
    full = 1 if mode == "F" else 65535
    expected = np.rint(values * 255 / full)
    assert_picture(read_picture(image), three(expected), grey=True)


def test_all_modes_of_pillow_are_among_these() -> None:
    tested = {*MODES, "I", "I;16", "I;16B", "I;16L", "F"}
    assert set(Image.MODES) - {"I;16N"} <= tested


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "LA", "I;16"])
def test_pictures_of_several_boxes_are_turned_as_pillow_does(mode: str, orientation: int) -> None:
    image = random_image(mode, (1100, 1001))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image.info["exif"] = exif.tobytes()
    plain = read_picture(ImageOps.exif_transpose(image))
    picture = read_picture(image)
    assert_picture(picture, plain.pixels, grey=plain.grey, alpha=plain.alpha)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (1, 2**21), (2**21, 1)])
@pytest.mark.parametrize("mode", ["RGB", "LA"])
def test_thin_and_tiny_pictures_come_back(mode: str, size: tuple[int, int]) -> None:
    image = random_image(mode, size)
    assert read_picture(image).to_image().tobytes() == image.tobytes()
