"""Test the metadata of pictures: EXIF, XMP and profiles, including damaged ones."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps, PngImagePlugin
from profiles import matrix_profile
from read_pictures import ALPHA, RGB, WIDE, assert_picture, notices, saved

from slimcae.errors import ConfigError
from slimcae.images import Picture, read_picture
from slimcae.images.metadata import srgb_profile


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
        if suffix == "tif":  # Pillow writes nested directories only if they were read before
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
    # a colour profile is invalid for a grey image
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
    with pytest.raises(ConfigError, match="metadata 'ALL': must be one of all, icc, none"):
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
    """Return arbitrary bytes, or these with some changed or cut off."""
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
