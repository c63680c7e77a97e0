"""Test reading: colours, greys, alpha, depth and orientation."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from read_pictures import (
    ALPHA,
    GREY,
    RGB,
    WIDE,
    assert_picture,
    notices,
    png_by_hand,
    profile_for,
    saved,
    three,
)

from slimcae.errors import ImageError
from slimcae.images import read_picture


@pytest.mark.parametrize("suffix", ["png", "tiff", "bmp", "ppm"])
def test_colours_are_kept_exactly(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(tmp_path, Image.fromarray(RGB), f"a.{suffix}")
    assert_picture(read_picture(path), RGB)
    with path.open("rb") as file:
        assert_picture(read_picture(file), RGB)
    assert_picture(read_picture(io.BytesIO(path.read_bytes())), RGB)
    assert_picture(read_picture(str(path)), RGB)
    assert notices(caplog) == []


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "avif", "jp2", "tif"])
def test_every_usual_format_is_read(tmp_path: Path, suffix: str) -> None:
    flat = Image.new("RGB", (40, 30), (200, 100, 50))
    picture = read_picture(saved(tmp_path, flat, f"a.{suffix}"))
    assert picture.pixels.shape == (30, 40, 3)
    assert np.abs(picture.pixels.astype(int) - [200, 100, 50]).max() < 6


def test_grey_stays_grey_and_alpha_is_kept(tmp_path: Path) -> None:
    grey, alpha = Image.fromarray(GREY), Image.fromarray(ALPHA)
    assert_picture(read_picture(saved(tmp_path, grey, "l.png")), three(GREY), grey=True)
    both = Image.merge("LA", (grey, alpha))
    path = saved(tmp_path, both, "la.png")
    assert_picture(read_picture(path), three(GREY), grey=True, alpha=ALPHA)
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    assert_picture(read_picture(saved(tmp_path, rgba, "rgba.png")), RGB, alpha=ALPHA)
    bilevel = Image.fromarray(GREY > 100)
    expected = three(np.where(GREY > 100, 255, 0))
    assert_picture(read_picture(saved(tmp_path, bilevel, "1.png")), expected, grey=True)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pictures_become_images_again(mode: str) -> None:
    source = Image.fromarray(np.dstack([RGB, ALPHA])).convert(mode)
    image = read_picture(source).to_image()
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(image), np.asarray(source))


def test_transparency_in_palettes_and_by_colour_becomes_alpha(tmp_path: Path) -> None:
    indices = np.arange(24, dtype=np.uint8).reshape(4, 6) % 3
    indexed = Image.fromarray(indices).convert("P")
    indexed.putpalette([250, 0, 0, 0, 250, 0, 0, 0, 250])
    colours = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250]], np.uint8)[indices]
    assert_picture(read_picture(saved(tmp_path, indexed, "p.png")), colours)
    alphas = saved(tmp_path, indexed, "alphas.png", transparency=bytes([0, 100, 255]))
    expected = np.array([0, 100, 255], np.uint8)[indices]
    assert_picture(read_picture(alphas), colours, alpha=expected)
    one = saved(tmp_path, indexed, "one.gif", transparency=1)
    picture = read_picture(one)
    np.testing.assert_array_equal(picture.alpha, np.where(indices == 1, 0, 255))
    by_colour = saved(
        tmp_path, Image.fromarray(RGB), "c.png", transparency=tuple(RGB[1, 2].tolist())
    )
    expected = np.full(GREY.shape, 255)
    expected[1, 2] = 0
    assert_picture(read_picture(by_colour), RGB, alpha=expected)


def test_cmyk_becomes_rgb_and_loses_its_profile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    path = saved(tmp_path, cmyk, "a.tif", icc_profile=profile_for(b"CMYK"))
    picture = read_picture(path)
    assert_picture(picture, np.full((8, 8, 3), [255, 0, 0]))
    assert picture.icc_profile is None
    assert notices(caplog) == [f"{path} has an ICC profile for other colours (b'CMYK'): left out"]


@pytest.mark.parametrize(
    ("mode", "space", "kept"),
    [
        ("RGB", b"RGB ", True),
        ("RGBA", b"RGB ", True),
        ("P", b"RGB ", True),
        ("L", b"GRAY", True),
        ("L", b"RGB ", False),
        ("RGB", b"GRAY", False),
    ],
)
def test_a_profile_is_kept_if_it_fits(tmp_path: Path, mode: str, space: bytes, kept: bool) -> None:
    profile = profile_for(space)
    path = saved(tmp_path, Image.fromarray(RGB).convert(mode), "a.png", icc_profile=profile)
    picture = read_picture(path)
    assert picture.icc_profile == (profile if kept else None)
    assert picture.to_image().info.get("icc_profile") == picture.icc_profile


def test_16_bits_are_rounded_to_8_with_a_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    path = saved(tmp_path, Image.fromarray(values), "a.png")
    expected = np.array([[0, 0, 1, 1, 128, 255]], np.uint8)
    assert_picture(read_picture(path), three(expected), grey=True)
    assert notices(caplog) == [f"{path} has more than 8 bits per channel: reduced to 8"]
    # as mode I, in which Pillow reads some 16-bit files
    image = Image.fromarray(values.astype(np.int32))
    assert_picture(read_picture(image), three(expected), grey=True)


def test_a_transparent_16_bit_grey_is_kept(tmp_path: Path) -> None:
    values = np.array([[0, 300, 65535]], np.uint16)
    path = saved(tmp_path, Image.fromarray(values), "a.png", transparency=300)
    np.testing.assert_array_equal(read_picture(path).alpha, [[255, 0, 255]])


def test_16_bits_per_colour_are_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.png"  # Pillow cannot write such a file
    path.write_bytes(png_by_hand(1, 1, depth=16, colour=2, rows=b"\0\1\0\2\0\3\0"))
    assert_picture(read_picture(path), np.array([[[1, 2, 3]]]))
    assert notices(caplog) == [f"{path} has more than 8 bits per channel: reduced to 8"]


@pytest.mark.parametrize(
    ("values", "levels", "notice"),
    [
        ([0, 0.5, 1], [0, 128, 255], None),
        ([0, 0.5, 0.7], [0, 128, 178], None),
        ([0, 1, 128, 250], [0, 1, 128, 250], None),  # whole numbers of 8 bits ...
        ([0, 257, 65535], [0, 1, 255], None),  # ... and of 16
        ([0, 65536, 131072], [0, 128, 255], "0 is black and 131072 is white"),
        ([-1, 0, 1], [0, 128, 255], "-1 is black and 1 is white"),
        ([0, 0.65, 1.3], [0, 128, 255], "0 is black and 1.3 is white"),
        ([0, 150.5, 301], [0, 128, 255], "0 is black and 301 is white"),
    ],
)
def test_floats_are_scaled_by_what_they_hold(
    values: list[float], levels: list[int], notice: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    picture = read_picture(Image.fromarray(np.array([values], np.float32)))
    assert_picture(picture, three(np.array([levels])), grey=True)
    assert notices(caplog)[1:] == ([f"the picture has floating values: {notice}"] if notice else [])


def test_floats_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ImageError, match="not finite"):
        read_picture(Image.fromarray(np.array([[np.nan, 1]], np.float32)))


def test_an_animation_gives_its_first_frame_with_a_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [Image.new("RGB", (20, 10), (value, 0, 0)) for value in (250, 100)]
    for name in ("a.gif", "a.tif", "a.png"):
        path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
        caplog.clear()
        assert_picture(read_picture(path), np.full((10, 20, 3), [250, 0, 0]))
        assert notices(caplog) == [f"{path} has several frames: only the first one is used"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    # the expected view, and how a camera of that orientation stores it (EXIF 2.32, 4.6.4)
    seen = RGB
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.transpose(1, 0, 2),
        6: np.rot90(seen),
        7: np.rot90(seen, 2).transpose(1, 0, 2),
        8: np.rot90(seen, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    path = saved(tmp_path, image, f"a.{suffix}", exif=exif)
    assert_picture(read_picture(path), seen)


def test_an_image_that_is_handed_in_stays_as_it_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = Image.fromarray(np.dstack([RGB, ALPHA])).convert("PA")
    image.info |= {"exif": exif.tobytes(), "icc_profile": WIDE}
    before = (image.mode, image.size, dict(image.info), image.tobytes())
    picture = read_picture(image)
    assert picture.pixels.shape == (6, 4, 3)
    picture.pixels[:] = 0
    assert (image.mode, image.size, dict(image.info), image.tobytes()) == before
    frames = [Image.new("L", (2, 2), value) for value in (10, 20)]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(path) as animation:
        animation.seek(1)
        assert read_picture(animation).pixels[0, 0, 0] == 20
        assert animation.tell() == 1
