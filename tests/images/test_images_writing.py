"""Test writing: pictures are written atomically, with the metadata that the format can hold."""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from profiles import DISPLAY_P3, matrix_profile

from conftest import HANG
from slimcae.errors import ImageError
from slimcae.images import Picture, read_picture, write_image

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
ALPHA = 255 - RGB[:, :, 1]
PROFILE = matrix_profile(DISPLAY_P3)
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><a b="é"/></x:xmpmeta>'.encode()
HOLDING = ["png", "jpg", "JPEG", "webp", "tif", "avif"]


def some_exif(**more: bytes) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 1
    exif[ExifTags.Base.Artist] = "somebody"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.MakerNote: more.get("notes", b"their own")}
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitude: (48.0, 8.0, 1.0)}
    return exif.tobytes()


def notices(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all(record.name == "slimcae" for record in caplog.records)
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("suffix", ["png", "tiff", "bmp", "ppm", "webp"])
def test_lossless_formats_are_written_exactly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_image(Picture(RGB).to_image(), path)
    np.testing.assert_array_equal(read_picture(path).pixels, RGB)


@pytest.mark.parametrize("suffix", HOLDING)
def test_profile_exif_and_xmp_are_written(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"a.{suffix}"
    whole = Picture(RGB, icc_profile=PROFILE, exif=some_exif(), xmp=XMP)
    write_image(whole.to_image(), path)
    with Image.open(path) as image:  # as seen by Pillow alone
        assert image.info["icc_profile"] == PROFILE
        assert image.info["xmp"] == XMP
        exif = image.getexif()
        assert exif[ExifTags.Base.Artist] == "somebody"
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] == b"their own"
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (48, 8, 1)
    picture = read_picture(path)
    assert (picture.icc_profile, picture.srgb, picture.xmp) == (PROFILE, False, XMP)
    assert picture.to_image().getexif()[ExifTags.Base.Artist] == "somebody"
    assert notices(caplog) == []


@pytest.mark.parametrize("suffix", HOLDING)
def test_an_srgb_picture_stays_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_image(Picture(RGB, srgb=True).to_image(), path)
    assert read_picture(path).srgb


@pytest.mark.parametrize("suffix", HOLDING)
def test_nothing_is_written_that_was_not_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_image(Picture(RGB, exif=some_exif(), xmp=XMP, srgb=True).keeping("none").to_image(), path)
    with Image.open(path) as image:
        assert not {"icc_profile", "exif", "xmp"} & set(image.info)


@pytest.mark.parametrize(
    ("suffix", "kind"), [("bmp", "BMP"), ("ppm", "PPM"), ("jp2", "JPEG2000"), ("j2k", "JPEG2000")]
)
def test_what_a_format_cannot_hold_is_left_out_with_one_notice(
    tmp_path: Path, suffix: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"a.{suffix}"
    whole = Picture(RGB, icc_profile=PROFILE, exif=some_exif(), xmp=XMP)
    write_image(whole.to_image(), path)
    assert read_picture(path).pixels.shape == RGB.shape
    assert notices(caplog) == [
        f"{path}: {kind} cannot hold the ICC profile and EXIF data and XMP data: left out"
    ]


def test_what_is_too_large_is_left_out_with_one_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    large = some_exif(notes=bytes(70_000))
    jpeg, png = tmp_path / "a.jpg", tmp_path / "a.png"
    write_image(Picture(RGB, icc_profile=PROFILE, exif=large, xmp=XMP).to_image(), jpeg)
    picture = read_picture(jpeg)
    assert (picture.icc_profile, picture.exif, picture.xmp) == (PROFILE, None, XMP)
    profile = PROFILE + bytes(2**21)  # Pillow does not read such a PNG file again
    write_image(Picture(RGB, icc_profile=profile, exif=large, xmp=XMP).to_image(), png)
    picture = read_picture(png)
    assert (picture.icc_profile, picture.exif, picture.xmp) == (None, large, XMP)
    assert notices(caplog) == [
        f"{jpeg}: JPEG cannot hold the EXIF data: left out",
        f"{png}: PNG cannot hold the ICC profile: left out",
    ]


@pytest.mark.parametrize("endian", ["<", ">"])
def test_exif_of_a_camera_does_not_contradict_a_tiff_file(tmp_path: Path, endian: str) -> None:
    exif = Image.Exif()
    exif.endian = endian
    for tag in (256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 338, 339):
        exif[tag] = 77
    exif[ExifTags.Base.Artist] = "somebody"
    path = tmp_path / "a.tif"
    write_image(Picture(RGB, alpha=ALPHA, exif=exif.tobytes()).to_image(), path)
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.pixels, RGB)
    np.testing.assert_array_equal(picture.alpha, ALPHA)
    assert picture.to_image().getexif()[ExifTags.Base.Artist] == "somebody"


def test_metadata_of_other_types_are_ignored(tmp_path: Path) -> None:
    image = Image.fromarray(RGB)
    image.info |= {"exif": "no bytes", "xmp": 5, "icc_profile": ("a", "b"), "dpi": "?"}
    path = tmp_path / "a.png"
    write_image(image, path)
    np.testing.assert_array_equal(read_picture(path).pixels, RGB)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
@given(
    st.binary(max_size=60) | st.integers(0, 200).map(lambda end: some_exif()[:end]),
    st.binary(max_size=60),
    st.binary(max_size=60) | st.integers(0, 600).map(lambda end: PROFILE[:end]),
)
@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_bytes_of_metadata_stop_writing(
    tmp_path: Path, suffix: str, exif: bytes, xmp: bytes, icc: bytes
) -> None:
    plain, path = tmp_path / f"plain.{suffix}", tmp_path / f"a.{suffix}"
    if not plain.exists():
        write_image(Picture(RGB).to_image(), plain)
    write_image(Picture(RGB, exif=exif, xmp=xmp, icc_profile=icc).to_image(), path)
    np.testing.assert_array_equal(read_picture(path).pixels, read_picture(plain).pixels)


def test_raw_codestreams_of_jpeg_2000_are_written(tmp_path: Path) -> None:
    for suffix, start in (("j2k", b"\xff\x4f\xff\x51"), ("jp2", b"\0\0\0\x0cjP  ")):
        path = tmp_path / f"a.{suffix}"
        write_image(Picture(RGB).to_image(), path)
        assert path.read_bytes().startswith(start)


def test_what_cannot_be_written_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    image = Picture(RGB, alpha=ALPHA).to_image()
    with pytest.raises(ImageError, match=r"'\.xyz': use \.png"):
        write_image(image, tmp_path / "a.xyz")
    with pytest.raises(ImageError, match="'noname': use"):
        write_image(image, tmp_path / "noname")
    old = tmp_path / "a.jpg"
    old.write_bytes(b"old")
    with pytest.raises(ImageError, match=r"a\.jpg cannot be written as JPEG, .* alpha: use \.png"):
        write_image(image, old)
    with pytest.raises(ImageError, match=r"a\.webp cannot be written as WEBP"):
        write_image(Image.new("L", (20_000, 1)), tmp_path / "a.webp")
    with pytest.raises(FileNotFoundError):
        write_image(image, tmp_path / "missing" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
    assert old.read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_no_fault_of_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_image(Picture(RGB).to_image(), path)


FILL = """
import sys, resource
from pathlib import Path
import numpy as np
from PIL import Image
from slimcae.images import write_image
pixels = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
image = Image.fromarray(pixels)
whole = Path("whole" + sys.argv[1])
write_image(image, whole)
size = whole.stat().st_size
old = Path("old" + sys.argv[1])
for room in (0, 4096, size // 2, size - 1):
    old.write_bytes(b"old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        write_image(image, old)
    except OSError as error:
        assert error.strerror == "File too large", error
    else:
        raise AssertionError(f"it is whole in {room} bytes")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert old.read_bytes() == b"old"
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
write_image(image, old)
assert old.read_bytes() == whole.read_bytes()
assert {path.name for path in Path().iterdir()} == {whole.name, old.name}
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
@pytest.mark.parametrize(
    "suffix",
    [".png", ".jpg", ".webp", ".tif", ".gif", ".bmp", ".ppm", ".jp2", ".j2k", ".avif", ".tga"],
)
def test_a_disk_that_becomes_full_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    """Pillow's encoders take a part of a block for the whole, or try again forever."""
    command = [sys.executable, "-c", FILL, suffix]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("suffix", ["png", "tif", "jp2"])
def test_pictures_are_written_into_pipes(tmp_path: Path, suffix: str) -> None:
    pipe, copy = tmp_path / f"pipe.{suffix}", tmp_path / f"copy.{suffix}"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: copy.write_bytes(pipe.read_bytes()))
    reader.start()
    write_image(Picture(RGB).to_image(), pipe)
    reader.join()
    assert read_picture(copy).pixels.shape == RGB.shape


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_formats_hold_alpha_or_say_that_they_cannot(tmp_path: Path, mode: str) -> None:
    pixels = RGB if mode == "RGBA" else np.repeat(RGB[:, :, :1], 3, axis=2)
    image = Picture(pixels, grey=mode == "LA", alpha=ALPHA).to_image()
    assert image.mode == mode
    for suffix, loss in (("png", 0), ("webp", 0), ("tif", 0), ("jp2", 0), ("avif", 16)):
        path = tmp_path / f"a.{suffix}"
        write_image(image, path)
        with Image.open(path) as written:
            found = np.asarray(written.convert("RGBA")).astype(int)
        assert np.abs(found[:, :, 3] - ALPHA).max() <= loss
        if not loss:  # also the colours of invisible pixels
            np.testing.assert_array_equal(found[:, :, :3], pixels)
    for suffix, kind in (
        ("jpg", "JPEG"), ("ppm", "PPM"), ("gif", "GIF"), ("bmp", "BMP"), ("pcx", "PCX")
    ):  # fmt: skip
        path = tmp_path / f"b.{suffix}"
        with pytest.raises(ImageError, match=f"as {kind}, which cannot hold alpha: use .png"):
            write_image(image, path)
        assert not path.exists()
        write_image(Picture(pixels).to_image(), path)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("suffix", ["jpg", "ppm", "bmp"])
def test_an_alpha_that_is_opaque_is_no_loss(tmp_path: Path, mode: str, suffix: str) -> None:
    image = Picture(RGB, alpha=np.full_like(ALPHA, 255)).to_image().convert(mode)
    image.info["icc_profile"] = PROFILE
    path = tmp_path / f"a.{suffix}"
    write_image(image, path)
    with Image.open(path) as written:
        assert written.mode == mode.removesuffix("A")
        if suffix == "jpg":
            assert written.info["icc_profile"] == PROFILE
        else:
            expected = np.asarray(image.convert(written.mode))
            np.testing.assert_array_equal(np.asarray(written), expected)


def test_colours_that_gif_cannot_hold_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.gif"
    many = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    write_image(Picture(many).to_image(), path)
    assert notices(caplog) == [f"{path}: GIF cannot hold more than 256 colours: reduced"]
    caplog.clear()
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    for few in (Picture(RGB).to_image(), Picture(grey, grey=True).to_image()):
        write_image(few, path)
        with Image.open(path) as written:
            np.testing.assert_array_equal(
                np.asarray(written.convert("RGB")), np.asarray(few.convert("RGB"))
            )
    assert notices(caplog) == []
