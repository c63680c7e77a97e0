"""Reading, writing and finding pictures: every mode, orientation, limits, damage."""

import io
import logging
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from slimcae.errors import ImageError
from slimcae.images import Picture, find_images, read_picture, write_image

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
GREY = RGB[:, :, 0].copy()
ALPHA = 255 - RGB[:, :, 1]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile_for(space: bytes) -> bytes:
    """A profile that says it is for another colour space."""
    return SRGB[:16] + space + SRGB[20:]


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


def test_floats_are_scaled_by_what_they_hold() -> None:
    unit = Image.fromarray(np.array([[-1, 0, 0.5, 1]], np.float32))
    assert_picture(read_picture(unit), three(np.array([[0, 0, 128, 255]])), grey=True)
    bytes_ = Image.fromarray(np.array([[-1, 1.4, 128, 300]], np.float32))
    assert_picture(read_picture(bytes_), three(np.array([[0, 1, 128, 255]])), grey=True)
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


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RGB), "a.png", exif=b"Exif\0\0no TIFF header at all")
    assert_picture(read_picture(path), RGB)


def test_an_image_that_is_handed_in_stays_as_it_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = Image.fromarray(np.dstack([RGB, ALPHA])).convert("PA")
    image.info |= {"exif": exif.tobytes(), "icc_profile": SRGB}
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


@pytest.mark.parametrize("suffix", ["png", "tiff", "bmp", "ppm", "webp"])
def test_lossless_formats_are_written_exactly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_image(Picture(RGB).to_image(), path)
    np.testing.assert_array_equal(read_picture(path).pixels, RGB)


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG", "webp", "tif", "avif"])
def test_profiles_are_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_image(Picture(RGB, icc_profile=SRGB).to_image(), path)
    assert read_picture(path).icc_profile == SRGB


def test_what_cannot_be_written_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    image = Picture(RGB, alpha=ALPHA).to_image()
    with pytest.raises(ImageError, match=r"called '\.xyz': use \.png"):
        write_image(image, tmp_path / "a.xyz")
    with pytest.raises(ImageError, match="called 'noname'"):
        write_image(image, tmp_path / "noname")
    old = tmp_path / "a.jpg"
    old.write_bytes(b"old")
    with pytest.raises(ImageError, match=r"a\.jpg cannot be written as JPEG .*RGBA.*use \.png"):
        write_image(image, old)
    with pytest.raises(FileNotFoundError):
        write_image(image, tmp_path / "missing" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
    assert old.read_bytes() == b"old"


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


def test_patterns_and_single_files(folder: Path) -> None:
    assert found(folder, "*.png") == ["b.png", "f[1].png"]
    assert found(folder, "**/*.*") == sorted(
        ["a.JPG", "b.png", "deep/d.txt", "deep/e.scae", "deep/er/c.webp", "f[1].png"]
    )
    assert found(folder, "deep/d.txt") == ["deep/d.txt"]
    assert found(folder, "f[1].png") == ["f[1].png"]


def test_finding_nothing_says_what_was_looked_for(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ImageError, match=r"no images in .*empty: .* png jpg .* jp2"):
        find_images(str(folder / "empty"))
    with pytest.raises(ImageError, match=r"no images at '.*\*\.gif'"):
        find_images(str(folder / "*.gif"))
    with pytest.raises(ImageError, match=r"no images at '.*missing'"):
        find_images(str(folder / "missing"))
