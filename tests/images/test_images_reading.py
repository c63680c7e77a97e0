"""Reading, writing and finding pictures: every mode, orientation, limits, damage."""

import io
import logging
import os
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps, PngImagePlugin
from profiles import DISPLAY_P3, matrix_profile

from slimcae.errors import ConfigError, ImageError
from slimcae.images import KINDS, Picture, find_images, read_picture
from slimcae.images.metadata import srgb_profile

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
GREY = RGB[:, :, 0].copy()
ALPHA = 255 - RGB[:, :, 1]
WIDE = matrix_profile(DISPLAY_P3)


def profile_for(space: bytes) -> bytes:
    """A profile that says it is for another colour space."""
    return WIDE[:16] + space + WIDE[20:]


def saved(tmp_path: Path, image: Image.Image, name: str, **options: Any) -> Path:
    path = tmp_path / name
    image.save(path, **options)
    return path


def notices(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all(record.name == "slimcae" for record in caplog.records)
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    return [record.getMessage() for record in caplog.records]


def assert_picture(
    picture: Picture, pixels: np.ndarray, *, grey: bool = False, alpha: np.ndarray | None = None
) -> None:
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags.writeable and picture.pixels.flags.c_contiguous
    assert picture.grey == grey
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(picture.alpha, alpha)


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


def png_by_hand(height: int, width: int, depth: int, colour: int, rows: bytes) -> bytes:
    def chunk(tag: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(tag + data)
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


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
    assert notices(caplog) == [
        f"{path} has an ICC profile for other colours (b'CMYK'), which is dropped"
    ]


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
    # as mode I, which Pillow reads some 16-bit files as
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
        assert notices(caplog) == [f"{path} has several frames: only the first one is taken"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    # what the viewer shall see, and how a camera of that orientation stores it (EXIF 2.32, 4.6.4)
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


def random_image(mode: str, size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Every bit of a mode's pixels is random; palettes have colours and, of P, opacities."""
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


def test_what_is_said_about_a_picture_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "somebody"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.MakerNote: b"their own"}
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a b="c"/></x:xmpmeta>'
    for suffix in ("png", "jpg", "webp", "tif", "avif"):
        told: dict[str, Any] = {"exif": exif, "xmp": xmp, "icc_profile": WIDE}
        if suffix == "png":
            told["pnginfo"] = PngImagePlugin.PngInfo()
            told["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
        if suffix == "tif":  # Pillow writes nested directories only if they were read
            told["exif"] = Image.Exif()
            told["exif"].load(exif.tobytes())
            told["exif"][700] = xmp
        picture = read_picture(saved(tmp_path, Image.fromarray(RGB), f"a.{suffix}", **told))
        assert picture.pixels.shape == (6, 4, 3)
        assert (picture.icc_profile, picture.srgb, picture.xmp) == (WIDE, False, xmp)
        image = picture.to_image()
        assert (image.info["xmp"], image.info["icc_profile"]) == (xmp, WIDE)
        found = image.getexif()
        assert found.get(ExifTags.Base.Orientation, 1) == 1
        assert found[ExifTags.Base.Artist] == "somebody"
        assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] == b"their own"


def test_exif_as_imagemagick_writes_it_into_png_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "somebody"
    data = exif.tobytes()
    told = PngImagePlugin.PngInfo()
    told.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n", zip=True)
    path = saved(tmp_path, Image.fromarray(RGB), "a.png", pnginfo=told)
    with Image.open(path) as image:
        assert ImageOps.exif_transpose(image).size == (4, 6)
    picture = read_picture(path)
    assert picture.pixels.shape == (6, 4, 3)
    assert picture.to_image().getexif()[ExifTags.Base.Artist] == "somebody"


def test_an_orientation_in_xmp_is_applied_if_exif_has_none(tmp_path: Path) -> None:
    told = PngImagePlugin.PngInfo()
    told.add_itxt("XML:com.adobe.xmp", '<a tiff:Orientation="6"/>')
    path = saved(tmp_path, Image.fromarray(RGB), "a.png", pnginfo=told)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    picture = read_picture(path)
    assert_picture(picture, expected)
    assert picture.xmp == b'<a tiff:Orientation="1"/>'


def test_tiff_keeps_the_tags_that_say_nothing_about_its_storage(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    path = saved(tmp_path, Image.fromarray(RGB), "a.tif", exif=exif, compression="tiff_lzw")
    assert dict(read_picture(path).to_image().getexif()) == {ExifTags.Base.Artist: "somebody"}
    assert read_picture(saved(tmp_path, Image.fromarray(RGB), "b.tif")).exif is None


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_an_srgb_profile_becomes_a_flag(
    tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = Image.fromarray(RGB).convert(mode)
    path = saved(tmp_path, image, "a.png", icc_profile=matrix_profile(name="sRGB, more or less"))
    picture = read_picture(path)
    assert (picture.icc_profile, picture.srgb) == (None, True)
    # a profile for colours says nothing about a grey image, and would be invalid there
    expected = None if mode == "L" else srgb_profile()
    assert picture.to_image().info.get("icc_profile") == expected
    assert notices(caplog) == []


def test_what_shall_not_be_kept_is_left_out() -> None:
    everything = Picture(RGB, False, ALPHA, WIDE, False, b"Exif\0\0...", b"<x/>")
    assert everything.keeping("all") == everything
    with_profile = everything.keeping("icc")
    assert (with_profile.icc_profile, with_profile.exif, with_profile.xmp) == (WIDE, None, None)
    assert with_profile.pixels is RGB and with_profile.alpha is ALPHA
    assert everything.keeping("none").icc_profile is None
    assert set(everything.keeping("none").to_image().info) == set()
    assert Picture(RGB, srgb=True).keeping("icc").srgb
    assert not Picture(RGB, srgb=True).keeping("none").srgb
    with pytest.raises(ConfigError, match="metadata 'ALL': choose all, icc, none"):
        everything.keeping("ALL")


def test_damaged_metadata_do_not_cost_the_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = PngImagePlugin.PngInfo()
    told.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0\xff\xff")
    exif = b"Exif\0\0no TIFF header at all"
    path = saved(tmp_path, Image.fromarray(RGB), "a.png", exif=exif, pnginfo=told)
    picture = read_picture(path)
    assert_picture(picture, RGB)
    assert (picture.exif, picture.xmp) == (None, None)
    assert f"{path} has damaged EXIF data, which are left out" in notices(caplog)


def jpeg_with(image: Image.Image, exif: bytes, xmp: bytes, icc: bytes) -> bytes:
    segments = (
        (0xE1, b"Exif\0\0" + exif),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp),
        (0xE2, b"ICC_PROFILE\0\1\1" + icc),
    )
    file = io.BytesIO()
    image.save(file, "JPEG")
    said = b"".join(struct.pack(">BBH", 255, m, len(d) + 2) + d for m, d in segments)
    return file.getvalue()[:2] + said + file.getvalue()[2:]


def png_with(image: Image.Image, exif: bytes, xmp: bytes, icc: bytes) -> bytes:
    told = PngImagePlugin.PngInfo()
    told.add(b"iCCP", b"icc\0\0" + zlib.compress(icc))
    told.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    told.add(b"eXIf", exif)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=told)
    return file.getvalue()


def webp_with(image: Image.Image, exif: bytes, xmp: bytes, icc: bytes) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, exif=exif, xmp=xmp, icc_profile=icc)
    return file.getvalue()


def some_exif() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.XResolution] = 72.0
    exif[ExifTags.Base.ResolutionUnit] = 2
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.MakerNote: b"their own"}
    return exif.tobytes()[6:]


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """Any bytes, or these with some changed or cut off."""
    place = st.integers(0, len(data))
    changed = st.builds(lambda at, by: data[:at] + by + data[at + len(by) :], place, st.binary())
    return st.binary() | place.map(lambda end: data[:end]) | changed


@pytest.mark.parametrize("make", [png_with, jpeg_with, webp_with])
@given(damaged(some_exif()), damaged(b'<a tiff:Orientation="6"/>'), damaged(WIDE[:500]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_bytes_in_exif_xmp_and_profile_cost_the_picture(
    make: Callable[[Image.Image, bytes, bytes, bytes], bytes], exif: bytes, xmp: bytes, icc: bytes
) -> None:
    image = Image.fromarray(RGB)
    picture = read_picture(io.BytesIO(make(image, exif, xmp, icc)))
    plain = read_picture(io.BytesIO(make(image, b"", b"", b""))).pixels
    possible = [np.rot90(plain, turns) for turns in range(4)]
    possible += [pixels.transpose(1, 0, 2) for pixels in possible]
    assert any(np.array_equal(picture.pixels, pixels) for pixels in possible)
    again = read_picture(picture.to_image())
    np.testing.assert_array_equal(again.pixels, picture.pixels)
    assert (again.exif, again.xmp) == (picture.exif, picture.xmp)


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


FORMATS = ["png", "gif", "webp", "tif", "jpg", "avif"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_our_limit_replaces_that_of_pillow(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, Image.fromarray(RGB), f"a.{suffix}")  # 24 pixels
    for limit in (5, 15):  # where Pillow raises, and where it warns (an error in these tests)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert read_picture(path, max_pixels=24).pixels.shape == (4, 6, 3)
        for ours in (23, 8, 1):
            with pytest.raises(ImageError, match="the limit of") as caught:
                read_picture(path, max_pixels=ours)
            assert str(caught.value).startswith(str(path))
        assert limit == Image.MAX_IMAGE_PIXELS
        assert type(Image.MAX_IMAGE_PIXELS) is int
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(ImageError, match="6x4 pixels, more than the limit of 23"):
        read_picture(path, max_pixels=23)
    assert Image.MAX_IMAGE_PIXELS is None


def test_pillows_limit_is_back_after_many_threads(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RGB), "a.png")
    before = Image.MAX_IMAGE_PIXELS

    def read() -> None:
        for _ in range(20):
            read_picture(path)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == Image.MAX_IMAGE_PIXELS


def test_pixels_of_too_large_pictures_are_never_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_by_hand(30000, 30000, depth=8, colour=2, rows=b""))
    with pytest.raises(ImageError, match=r"bomb\.png is larger than the limit of 268,435,456"):
        read_picture(path)
    path.write_bytes(png_by_hand(3000, 3000, depth=8, colour=2, rows=b""))
    with pytest.raises(ImageError, match="has 3000x3000 pixels, more than the limit of 8,999,999"):
        read_picture(path, max_pixels=8_999_999)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no picture at .*missing\.png: check the path"):
        read_picture(tmp_path / "missing.png")
    with pytest.raises(ImageError, match=r"folder cannot be read .*Is a directory"):
        (tmp_path / "folder").mkdir()
        read_picture(tmp_path / "folder")
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(ImageError, match=r"text\.png cannot be read as a picture"):
        read_picture(text)
    with pytest.raises(ImageError, match="the picture cannot be read"):
        read_picture(io.BytesIO(b"no picture"))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tif", "bmp", "ppm", "jp2"])
def test_truncated_pictures_are_named(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
    path = saved(tmp_path, noise, f"a.{suffix}")
    data = path.read_bytes()
    for length in range(0, int(len(data) * 0.9), len(data) // 12):
        path.write_bytes(data[:length])
        with pytest.raises(ImageError, match=f"a.{suffix} cannot be read as a picture") as caught:
            read_picture(path)
        assert "\n" not in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.JPG", "deep/er/c.webp", "deep/d.txt", "deep/e.scae", "f[1].png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def found(folder: Path, pattern: str) -> list[str]:
    return [p.relative_to(folder).as_posix() for p in find_images(str(folder / pattern))]


def test_a_folder_is_searched_by_suffix(folder: Path) -> None:
    everything = ["a.JPG", "b.png", "deep/er/c.webp", "f[1].png"]
    assert found(folder, "") == everything


SEARCHED = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "DIB", "PPM", "JPEG2000")


def test_all_suffixes_of_the_formats_that_are_read_are_taken() -> None:
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in SEARCHED}
    assert {f".{kind}" for kind in KINDS} == known


def test_folders_hold_pictures_by_any_of_their_names_and_nothing_else(tmp_path: Path) -> None:
    pictures = ["a.apng", "b.JFIF", "c.jpe", "d.dib", "e.pnm", "f.pbm", "g.j2k", "h.jpx", "i.mpo"]
    others = [
        "._a.png",
        ".DS_Store",
        "Thumbs.db",
        "a.pdf",
        "a.mpg",
        "a.h5",
        "png",
        ".png",
        "a.scae",
    ]
    for name in (*pictures, *others):
        (tmp_path / name).touch()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    assert found(tmp_path, "") == pictures


def test_linked_folders_are_searched_and_loops_end(tmp_path: Path) -> None:
    top, elsewhere = tmp_path / "top", tmp_path / "elsewhere"
    for name in ("top/real/a.png", "elsewhere/b.png", "elsewhere/deep/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (top / "0-up").symlink_to(top)  # sorts before all others
    (top / "0-real").symlink_to("real")
    (top / "real" / "up").symlink_to("..")
    (elsewhere / "back").symlink_to(top)
    (top / "link").symlink_to(elsewhere)
    (top / "same").symlink_to(elsewhere)
    (top / "itself").symlink_to("itself")
    (top / "nothing").symlink_to("missing")
    (top / "linked.png").symlink_to(elsewhere / "b.png")
    everything = ["link/b.png", "link/deep/c.png", "linked.png", "real/a.png"]
    assert found(top, "") == everything
    assert found(top / "link", "") == ["b.png", "back/linked.png", "back/real/a.png", "deep/c.png"]
    assert found(top, "**/*.png") == everything  # in which Python's own ** would not end
    assert found(top, "**/**/*.png") == everything
    assert found(top, "*/*.png") == [
        *("0-real/a.png", "0-up/linked.png", "link/b.png", "real/a.png", "same/b.png"),
    ]


def test_a_folder_that_cannot_be_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scandir = os.scandir

    def guarded(path: Any) -> Any:  # as chmod does, which does not stop root
        if Path(path) == folder / "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert found(folder, "") == ["a.JPG", "b.png", "f[1].png"]
    assert caplog.messages == [
        f"folder {folder / 'deep'} cannot be read: Permission denied (left out)"
    ]


def test_patterns_and_single_files(folder: Path) -> None:
    assert found(folder, "*.png") == ["b.png", "f[1].png"]
    assert found(folder, "**/*.*") == sorted(
        ["a.JPG", "b.png", "deep/d.txt", "deep/e.scae", "deep/er/c.webp", "f[1].png"]
    )
    assert found(folder, "deep/d.txt") == ["deep/d.txt"]
    assert found(folder, "f[1].png") == ["f[1].png"]


def test_finding_nothing_says_what_was_looked_for(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ImageError, match=r"no images in .*empty: .* png .* jpg .* jp2"):
        find_images(str(folder / "empty"))
    with pytest.raises(ImageError, match=r"no images at '.*\*\.gif'"):
        find_images(str(folder / "*.gif"))
    with pytest.raises(ImageError, match=r"no images at '.*missing'"):
        find_images(str(folder / "missing"))
