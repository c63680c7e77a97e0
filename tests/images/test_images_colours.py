"""Test colour descriptions in files against published primaries, formulas, and littlecms."""

import contextlib
import io
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_files import png, png_chunk
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin
from profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB,
    cmyk_profile,
    ink_lab,
    matrix_profile,
)
from profiles import srgb_curve as srgb_light

from slimcae.errors import ImageError
from slimcae.images import Picture, read_picture
from slimcae.images.icc import grey_profile

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (16, 24, 3), dtype=np.uint8)
GREYS = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
PICTURES = Path(__file__).parent.parent / "data" / "pictures"

SRGB_XY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
P3_XY = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ADOBE_XY = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


def gama(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def chrm(*values: float) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values))


def cicp(primaries: int, transfer: int) -> tuple[bytes, bytes]:
    return b"cICP", bytes([primaries, transfer, 0, 1])


def of_png(*chunks: tuple[bytes, bytes], samples: np.ndarray = PIXELS) -> Picture:
    colour = 0 if samples.shape[2] == 1 else 2
    return read_picture(io.BytesIO(png(samples, 8, colour, *chunks)))


def seen(picture: Picture) -> np.ndarray:
    """Return the colours in sRGB, as a viewer shows them."""
    if picture.icc_profile is None:
        return picture.pixels
    mode = "L" if picture.grey else "RGB"
    return by_littlecms(picture.to_image().convert(mode), picture.icc_profile)


def by_littlecms(image: Image.Image, profile: bytes) -> np.ndarray:
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        image.mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    return np.asarray(transform.apply(image))


def assert_seen(picture: Picture, profile: bytes, pixels: np.ndarray = PIXELS) -> None:
    expected = by_littlecms(Image.fromarray(pixels), profile)
    assert np.abs(seen(picture).astype(int) - expected).max() <= 1


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def srgb_curve(light: np.ndarray) -> np.ndarray:
    """Return 8-bit levels (IEC 61966-2-1)."""
    light = np.clip(light, 0, 1)
    share = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    levels: np.ndarray = np.rint(255 * share)
    return levels


@pytest.mark.parametrize(
    ("chunks", "primaries", "curve"),
    [
        ([cicp(12, 13)], DISPLAY_P3, None),
        ([chrm(*P3_XY)], DISPLAY_P3, None),
        ([gama(1 / 2.2), chrm(*P3_XY)], DISPLAY_P3, 2.2),
        ([gama(256 / 563), chrm(*ADOBE_XY)], ADOBE_RGB, 563 / 256),
        ([gama(1 / 1.8)], SRGB, 1.8),
        ([cicp(1, 5)], SRGB, 2.8),
    ],
)
def test_colours_of_png_files_look_as_they_should(
    chunks: list[tuple[bytes, bytes]],
    primaries: Any,
    curve: float | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    picture = of_png(*chunks)
    np.testing.assert_array_equal(picture.pixels, PIXELS)  # nothing is lost
    assert picture.icc_profile is not None and not picture.srgb
    assert_seen(picture, matrix_profile(primaries, curve))
    assert warnings_of(caplog) == []


def test_profiles_have_the_published_primaries() -> None:
    for picture, published in (
        (of_png(cicp(12, 13)), DISPLAY_P3),
        (of_png(gama(0.4), chrm(*ADOBE_XY)), ADOBE_RGB),
    ):
        assert picture.icc_profile is not None
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.icc_profile)).profile
        found = [profile.red_colorant, profile.green_colorant, profile.blue_colorant]
        xyz = np.array([colorant[0] for colorant in found if colorant is not None])
        np.testing.assert_allclose(xyz, published, atol=3e-4)
        np.testing.assert_allclose(xyz.sum(axis=0), (0.9642, 1, 0.8249), atol=3e-4)  # white


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [(b"sRGB", b"\0")],
        [gama(0.45455)],
        [gama(0.45455), chrm(*SRGB_XY)],
        [chrm(*SRGB_XY)],
        [cicp(1, 13)],
        [cicp(1, 1)],
        [cicp(2, 2)],
        [(b"sRGB", b"\0"), gama(1), chrm(*P3_XY)],  # sRGB has priority
        [cicp(1, 13), gama(1), chrm(*P3_XY)],  # and cICP the highest
    ],
)
def test_srgb_however_it_is_said_stays_as_it_is(
    chunks: list[tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    for samples in (PIXELS, GREYS):
        picture = of_png(*chunks, samples=samples)
        np.testing.assert_array_equal(
            picture.pixels, np.broadcast_to(samples, (*samples.shape[:2], 3))
        )
        assert picture.icc_profile is None
    assert warnings_of(caplog) == []


@pytest.mark.parametrize("samples", [PIXELS, GREYS])
@pytest.mark.parametrize("said", [gama(1.0), cicp(1, 8)])
def test_linear_light_gets_the_curve_of_srgb(
    samples: np.ndarray, said: tuple[bytes, bytes]
) -> None:
    picture = of_png(said, samples=samples)
    expected = np.broadcast_to(srgb_curve(samples / 255), picture.pixels.shape)
    np.testing.assert_array_equal(picture.pixels, expected)
    assert (picture.icc_profile, picture.srgb) == (None, True)


@pytest.mark.parametrize(("channels", "kind"), [(1, 0), (3, 2), (4, 6), (2, 4)])
def test_16_bits_of_linear_light_are_encoded_before_they_are_reduced(
    channels: int, kind: int
) -> None:
    samples = RNG.integers(0, 65536, (16, 24, channels))
    samples[0] = RNG.integers(0, 1000, (24, channels))  # the upper bytes carry little information
    samples[:, :, -1] |= 0x100  # no alpha of 0
    picture = read_picture(io.BytesIO(png(samples, 16, kind, gama(1.0))))
    colours = samples if channels % 2 else samples[:, :, :-1]
    # Pillow cannot read the lower bytes of grey with alpha
    share = colours / 65535 if channels != 2 else (colours >> 8) / 255
    expected = np.broadcast_to(srgb_curve(share), picture.pixels.shape)
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.srgb


def test_linear_light_of_other_primaries_gets_a_profile_of_these() -> None:
    picture = of_png(gama(1.0), chrm(*P3_XY))
    np.testing.assert_array_equal(picture.pixels, srgb_curve(PIXELS / 255))
    assert_seen(picture, matrix_profile(DISPLAY_P3), picture.pixels)


@pytest.mark.parametrize("gamma", [1.8, 2.8])
def test_greys_of_another_gamma_get_a_profile_for_greys(gamma: float) -> None:
    picture = of_png(gama(1 / gamma), samples=GREYS)
    assert picture.grey and picture.icc_profile is not None
    assert picture.icc_profile[16:20] == b"GRAY"
    expected = srgb_curve((GREYS / 255) ** gamma)
    assert np.abs(seen(picture) - expected).max() <= 1


@pytest.mark.parametrize(
    ("transfer", "name", "points"),
    # cd/m² of code values (ITU-R BT.2100 and BT.2408, tables 1 and 2), of 203 for white
    [
        (16, "PQ", {0: 0, 0.508: 100, 0.581: 203, 0.752: 1000, 1: 10_000}),
        (18, "HLG", {0: 0, 0.5: 50.6, 0.75: 203, 1: 1000}),
    ],
)
def test_hdr_becomes_srgb_with_a_notice(
    transfer: int, name: str, points: dict[float, float], caplog: pytest.LogCaptureFixture
) -> None:
    picture = of_png(cicp(9, transfer), samples=GREYS)
    assert picture.grey and (picture.icc_profile, picture.srgb) == (None, True)
    levels = picture.pixels[:, :, 0].ravel()
    for code, nits in points.items():
        expected = srgb_curve(np.array(nits / 203))
        assert abs(int(levels[round(255 * code)]) - expected) <= 3
    assert (np.diff(levels.astype(int)) >= 0).all()
    assert warnings_of(caplog) == [
        f"the picture is HDR ({name}): converted to sRGB, values brighter than white become white"
    ]
    colours = of_png(cicp(9, transfer))
    assert colours.icc_profile is not None
    np.testing.assert_array_equal(colours.pixels, levels[PIXELS])


@pytest.mark.parametrize("value", [0.001, 30])
def test_a_gamma_that_cannot_be_is_said(value: float, caplog: pytest.LogCaptureFixture) -> None:
    picture = of_png(gama(value))
    np.testing.assert_array_equal(picture.pixels, PIXELS)
    assert warnings_of(caplog) == [f"the picture: its gamma is {1 / value:g}: treated as sRGB"]


def test_a_profile_counts_more_than_codes_that_are_not_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    profile = matrix_profile(DISPLAY_P3)
    chunks = cicp(10, 9), (b"iCCP", b"a\0\0" + zlib.compress(profile))
    assert of_png(*chunks).icc_profile == profile
    assert warnings_of(caplog) == []


def test_what_is_not_known_is_said(caplog: pytest.LogCaptureFixture) -> None:
    picture = of_png(cicp(10, 9))
    np.testing.assert_array_equal(picture.pixels, PIXELS)
    assert warnings_of(caplog) == [
        "the picture: its colours have primaries 10 and transfer function 9 of H.273: "
        "treated as sRGB"
    ]


@pytest.mark.parametrize("values", [(0,) * 8, (0.3,) * 8, (0.3, 0, 0.6, 0.3, 0.3, 0.6, 0.1, 0.1)])
def test_primaries_that_cannot_be_are_said(
    values: tuple[float, ...], caplog: pytest.LogCaptureFixture
) -> None:
    picture = of_png(chrm(*values))
    np.testing.assert_array_equal(picture.pixels, PIXELS)
    assert picture.icc_profile is None
    assert warnings_of(caplog) == ["the picture has invalid primaries: treated as sRGB"]


def test_a_profile_counts_more_than_gamma_and_less_than_cicp() -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", icc_profile=matrix_profile(ADOBE_RGB, 2.2))
    data = file.getvalue()
    head, rest = data[:33], data[33:]
    picture = read_picture(io.BytesIO(head + png_chunk(*gama(1.0)) + rest))
    assert picture.icc_profile == matrix_profile(ADOBE_RGB, 2.2)
    assert_seen(
        read_picture(io.BytesIO(head + png_chunk(*cicp(12, 13)) + rest)), matrix_profile(DISPLAY_P3)
    )


def avif(primaries: int, transfer: int, pixels: np.ndarray = PIXELS, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "AVIF", quality=100, subsampling="4:4:4", **options)
    data = file.getvalue()
    assert data.count(b"colrnclx") == 1
    start = data.index(b"colrnclx") + 8
    return data[:start] + struct.pack(">HH", primaries, transfer) + data[start + 4 :]


def test_avif_says_its_colours_by_codes(caplog: pytest.LogCaptureFixture) -> None:
    smooth = np.kron(RNG.integers(0, 256, (2, 3, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    plain = read_picture(io.BytesIO(avif(1, 13, smooth)))
    assert plain.icc_profile is None
    wide = read_picture(io.BytesIO(avif(12, 13, smooth)))
    np.testing.assert_array_equal(wide.pixels, plain.pixels)
    assert_seen(wide, matrix_profile(DISPLAY_P3), plain.pixels)
    assert warnings_of(caplog) == []
    hdr = read_picture(io.BytesIO(avif(9, 16, smooth)))
    assert hdr.icc_profile is not None and "is HDR (PQ)" in warnings_of(caplog)[0]
    unspecified = read_picture(io.BytesIO(avif(2, 2, smooth)))
    assert unspecified.icc_profile is None
    profile = matrix_profile(ADOBE_RGB, 2.2)
    both = avif(12, 13, smooth, icc_profile=profile)  # if a profile contains more
    assert read_picture(io.BytesIO(both)).icc_profile == profile


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_of_more_than_8_bits_is_reduced_with_a_notice(
    bits: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = PICTURES / f"{bits}-bit.avif"  # made by avifenc
    picture = read_picture(path)
    assert picture.pixels.shape == (48, 64, 3)
    assert warnings_of(caplog) == [f"{path} has more than 8 bits per channel: reduced to 8"]
    caplog.clear()
    read_picture(io.BytesIO(path.read_bytes()))
    assert len(caplog.messages) == 1
    caplog.clear()
    read_picture(io.BytesIO(avif(1, 13)))
    assert caplog.messages == []


def exif_with(space: int | None, index: str | None = None, **more: Any) -> bytes:
    exif = Image.Exif()
    details: dict[int, Any] = {}
    if space is not None:
        details[ExifTags.Base.ColorSpace] = space
    if index is not None:
        details[ExifTags.IFD.Interop] = {1: index}
    if "gamma" in more:
        details[ExifTags.Base.Gamma] = more["gamma"]
    if "primaries" in more:
        exif[ExifTags.Base.WhitePoint] = more["primaries"][:2]
        exif[ExifTags.Base.PrimaryChromaticities] = more["primaries"][2:]
    exif[ExifTags.IFD.Exif] = details
    return exif.tobytes()


@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("exif", "profile"),
    [
        (exif_with(1), None),
        (exif_with(None), None),
        (exif_with(1, "R98"), None),
        (exif_with(2), matrix_profile(ADOBE_RGB, 563 / 256)),
        (exif_with(0xFFFF, "R03"), matrix_profile(ADOBE_RGB, 563 / 256)),
        (exif_with(None, "R03"), matrix_profile(ADOBE_RGB, 563 / 256)),
        (exif_with(0xFFFF, primaries=P3_XY, gamma=1.8), matrix_profile(DISPLAY_P3, 1.8)),
    ],
)
def test_exif_says_adobe_rgb(
    suffix: str, exif: bytes, profile: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, suffix, exif=exif)
    picture = read_picture(file).keeping("icc")
    assert warnings_of(caplog) == []
    if profile is None:
        assert picture.icc_profile is None
    else:
        assert picture.icc_profile is not None
        assert_seen(picture, profile, picture.pixels)


@pytest.mark.parametrize("space", [0xFFFF, 0xFFFD, 0xFFFE])  # two are cameras' own numbers
def test_exif_of_unknown_colours_is_said(space: int, caplog: pytest.LogCaptureFixture) -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", exif=exif_with(space))
    assert read_picture(file).icc_profile is None
    assert warnings_of(caplog) == [
        "the picture: its EXIF data say that its colours are not sRGB, but not which they are: "
        "treated as sRGB"
    ]
    caplog.clear()
    file = io.BytesIO()
    profile = matrix_profile(DISPLAY_P3)
    Image.fromarray(PIXELS).save(file, "JPEG", exif=exif_with(0xFFFF), icc_profile=profile)
    assert read_picture(file).icc_profile == profile  # as phones write it
    assert warnings_of(caplog) == []


def lab_in_srgb(lab: tuple[float, float, float]) -> np.ndarray:
    """Return 8-bit levels by the formulas of CIE 1976 and Bradford (D50 to D65)."""
    lightness, a, b = lab
    y = (lightness + 16) / 116
    root = np.array([y + a / 500, y, y - b / 200])
    ratio = np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    xyz = ratio * (0.9642, 1, 0.8249)
    # columns are the published primaries of sRGB under D50
    return srgb_curve(np.linalg.solve(np.array(SRGB).T, xyz))


INKS = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 1, 0, 0)]


@pytest.mark.parametrize("suffix", ["JPEG", "TIFF"])
def test_inks_are_what_their_profile_says(suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    values = np.kron(np.array([INKS]), np.ones((16, 16, 1))).astype(np.uint8) * 255
    file = io.BytesIO()
    options = {"quality": 100} if suffix == "JPEG" else {}
    Image.fromarray(values, "CMYK").save(file, suffix, icc_profile=cmyk_profile(), **options)
    picture = read_picture(file)
    for number, ink in enumerate(INKS):
        found = picture.pixels[8, 16 * number + 8].astype(int)
        expected = lab_in_srgb(ink_lab(*ink))
        assert np.abs(found - expected).max() <= 3
    assert (picture.icc_profile, picture.srgb, picture.grey) == (None, True, False)
    assert warnings_of(caplog) == []


@pytest.mark.parametrize("profile", [None, matrix_profile()])
@pytest.mark.parametrize("suffix", ["png", "gif", "webp", "avif", "tiff", "bmp", "jp2", "jpg"])
def test_grey_stays_grey_whatever_it_is_stored_as(suffix: str, profile: bytes | None) -> None:
    colour = Image.fromarray(np.repeat(GREYS, 3, axis=2))
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    if profile is not None and suffix not in ("gif", "bmp", "jp2"):
        options["icc_profile"] = profile
    sources = [colour, colour.convert("RGBA")] if suffix in ("png", "webp") else [colour]
    if suffix in ("png", "gif"):
        sources.append(colour.quantize(256))
    for source in sources:
        file = io.BytesIO()
        source.save(file, Image.registered_extensions()[f".{suffix}"], **options)
        picture = read_picture(file)
        assert picture.grey
        assert picture.to_image().mode == "L"
        difference = picture.pixels.astype(int) - GREYS
        assert np.abs(difference).max() <= (0 if suffix not in ("avif", "jpg") else 12)


def test_greys_with_a_profile_for_colours_become_those_of_srgb() -> None:
    colour = np.repeat(GREYS, 3, axis=2)
    for primaries, curve in ((DISPLAY_P3, None), (ADOBE_RGB, 2.2), (SRGB, 1.8)):
        profile = matrix_profile(primaries, curve)
        expected = by_littlecms(Image.fromarray(colour), profile)
        for source in (Image.fromarray(colour), Image.fromarray(GREYS[:, :, 0])):
            source.info["icc_profile"] = profile
            picture = read_picture(source)
            assert picture.grey and picture.icc_profile is None
            assert np.abs(picture.pixels.astype(int) - expected).max() <= 1


def test_what_nobody_sees_makes_no_colour() -> None:
    alpha = np.full((16, 16, 1), 255, np.uint8)
    alpha[:4] = 0
    coloured = np.repeat(GREYS, 3, axis=2)
    coloured[:4, :, 1] = 99
    picture = read_picture(Image.fromarray(np.dstack([coloured, alpha])))
    assert picture.grey and picture.to_image().mode == "LA"
    coloured[4, 0] = 1, 2, 3
    assert not read_picture(Image.fromarray(np.dstack([coloured, alpha]))).grey


def jpeg_2000_with(*boxes: bytes) -> bytes:
    """A JP2 file with these colour specification boxes instead of its own."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG2000")
    data = file.getvalue()
    place, header = data.index(b"colr") - 4, data.index(b"jp2h") - 4
    size = int.from_bytes(data[place : place + 4], "big")
    box = b"".join(struct.pack(">I4s", 8 + len(body), b"colr") + body for body in boxes)
    grown = struct.unpack_from(">I", data, header)[0] + len(box) - size
    changed = data[:header] + struct.pack(">I", grown) + data[header + 4 : place]
    return changed + box + data[place + size :]


@pytest.mark.parametrize("method", [2, 3])  # restricted, and any
def test_jpeg_2000_profiles_are_found(method: int) -> None:
    profile = matrix_profile(DISPLAY_P3)
    picture = read_picture(jpeg_2000_with(bytes([method, 0, 0]) + profile))
    assert picture.icc_profile == profile
    np.testing.assert_array_equal(picture.pixels, PIXELS)


def test_jpeg_2000_says_its_colours_by_codes(caplog: pytest.LogCaptureFixture) -> None:
    picture = read_picture(jpeg_2000_with(b"\5\0\0" + struct.pack(">HHHB", 12, 13, 0, 0x80)))
    assert_seen(picture, matrix_profile(DISPLAY_P3))
    assert warnings_of(caplog) == []


SRGB_BOX = b"\1\0\0" + struct.pack(">I", 16)
ROMM_BOX = b"\1\0\0" + struct.pack(">I", 21)
VENDOR_BOX = b"\4\0\0" + bytes(16)


@pytest.mark.parametrize(
    ("boxes", "known"),
    [
        ([SRGB_BOX], True),
        ([ROMM_BOX], False),
        ([VENDOR_BOX], False),
        ([VENDOR_BOX, SRGB_BOX], True),  # any that is known will do (T.801, M.11.7.3)
    ],
)
def test_jpeg_2000_colours_that_are_not_known_are_said(
    boxes: list[bytes], known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    np.testing.assert_array_equal(read_picture(jpeg_2000_with(*boxes)).pixels, PIXELS)
    assert warnings_of(caplog) == (
        []
        if known
        else ["the picture: its colours are said in a way that is not known here: treated as sRGB"]
    )


def test_lab_is_srgb_afterwards_whatever_profile_lies_beside_it() -> None:
    image = Image.new("LAB", (4, 4), (200, 0, 0))
    image.info["icc_profile"] = matrix_profile(DISPLAY_P3)
    picture = read_picture(image)
    assert picture.icc_profile is None and picture.srgb


@pytest.mark.parametrize("last", [(0, 0), (1, 1)])  # levels from 16 to 235; luma and chroma
def test_levels_of_another_range_are_said(
    last: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    np.testing.assert_array_equal(of_png((b"cICP", bytes([1, 13, *last]))).pixels, PIXELS)
    assert warnings_of(caplog) == [
        "the picture: its chunk cICP says that its levels are not those of RGB from 0 to 255: "
        "treated as sRGB"
    ]


def iccp(content: bytes) -> tuple[bytes, bytes]:
    return b"iCCP", b"name\0\0" + content


def icc_segment(number: int, count: int, part: bytes) -> bytes:
    body = b"ICC_PROFILE\0" + bytes([number, count]) + part
    return b"\xff\xe2" + struct.pack(">H", 2 + len(body)) + body


P3 = matrix_profile(DISPLAY_P3)


@pytest.mark.parametrize(
    "said",
    [
        iccp(b"no zlib stream"),
        iccp(zlib.compress(P3)[:-40]),
        iccp(zlib.compress(P3[:300])),
        iccp(zlib.compress(b"no profile" * 20)),
        icc_segment(1, 2, P3[:300]),
        icc_segment(1, 1, P3[:300]),
        icc_segment(1, 1, P3) * 2,
    ],
)
def test_a_profile_that_is_damaged_is_left_out_with_a_notice(
    said: tuple[bytes, bytes] | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    if isinstance(said, bytes):
        file = io.BytesIO()
        Image.fromarray(PIXELS).save(file, "JPEG")
        picture = read_picture(file.getvalue()[:2] + said + file.getvalue()[2:])
    else:
        picture = of_png(said)
    assert picture.icc_profile is None
    assert warnings_of(caplog) == ["the picture has a damaged ICC profile: left out"]


def test_beside_a_damaged_profile_other_words_count() -> None:
    picture = of_png(iccp(zlib.compress(P3[:300])), gama(1.0))
    np.testing.assert_array_equal(picture.pixels, srgb_curve(PIXELS / 255))


def test_a_profile_for_greys_stays_with_greys_stored_as_colours() -> None:
    grey = of_png(gama(1 / 1.8), samples=GREYS).icc_profile
    image = Image.fromarray(np.repeat(GREYS, 3, axis=2))
    image.info["icc_profile"] = grey
    picture = read_picture(image)
    assert picture.grey and picture.icc_profile == grey


def test_tiff_says_its_primaries_by_tags(caplog: pytest.LogCaptureFixture) -> None:
    for xy, profile in ((SRGB_XY, None), (P3_XY, matrix_profile(DISPLAY_P3, 2.2))):
        file = io.BytesIO()
        Image.fromarray(PIXELS).save(file, "TIFF", tiffinfo={318: xy[:2], 319: xy[2:]})
        picture = read_picture(file)
        np.testing.assert_array_equal(picture.pixels, PIXELS)
        if profile is None:
            assert picture.icc_profile is None
        else:
            assert_seen(picture, profile)
    assert warnings_of(caplog) == []


def test_bmp_files_can_hold_a_profile() -> None:
    profile = matrix_profile(DISPLAY_P3)
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "BMP")
    data = file.getvalue()
    assert data[14:18] == struct.pack("<I", 40)
    # BITMAPV5HEADER: size, the usual 36 bytes, masks, colour space "MBED" (as a number), ...
    v5 = struct.pack("<I", 124) + data[18:54] + bytes(16) + b"DEBM" + bytes(36 + 12 + 4)
    v5 += struct.pack("<III", 124 + len(data) - 54, len(profile), 0)
    start = b"BM" + struct.pack("<IHHI", 14 + 124 + len(data) - 54 + len(profile), 0, 0, 138)
    picture = read_picture(io.BytesIO(start + v5 + data[54:] + profile))
    np.testing.assert_array_equal(picture.pixels, PIXELS)
    assert picture.icc_profile == profile


GIF_PROFILE = b"!\xff\x0bICCRGBG1012"


def gif_with(profile: bytes, *extensions: bytes) -> bytes:
    """Return a greyscale GIF file (global table of 256 colours) with leading extensions."""
    file = io.BytesIO()
    Image.fromarray(GREYS[:, :, 0]).save(file, "GIF")
    data = file.getvalue()
    start = 13 + 3 * 256
    blocks = b"".join(
        bytes([len(part)]) + part
        for part in (profile[at : at + 255] for at in range(0, len(profile), 255))
    )
    own = GIF_PROFILE + blocks + b"\0" if profile else b""
    return data[:start] + b"".join(extensions) + own + data[start:]


def test_gif_files_can_hold_a_profile(caplog: pytest.LogCaptureFixture) -> None:
    """Return the profile as an application extension after others (ICC.1:2022, B.5)."""
    profile = grey_profile(1.8)
    looping, comment = b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0", b"!\xfe\5hello\0"
    picture = read_picture(io.BytesIO(gif_with(profile, looping, comment)))
    np.testing.assert_array_equal(picture.pixels[:, :, :1], GREYS)
    assert (picture.icc_profile, picture.grey) == (profile, True)
    assert read_picture(io.BytesIO(gif_with(b"", looping))).icc_profile is None
    assert warnings_of(caplog) == []
    file = gif_with(profile)[: 13 + 3 * 256 + 60]  # the file ends within the profile
    with pytest.raises(ImageError):
        read_picture(io.BytesIO(file))


def bmp_v4(kind: bytes, ends: tuple[float, ...] = (0,) * 9, gamma: Any = (0, 0, 0)) -> Picture:
    """Return a picture with a BITMAPV4HEADER with a colour space, its end points and gammas."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "BMP")
    data = file.getvalue()
    v4 = struct.pack("<I", 108) + data[18:54] + bytes(16) + kind
    v4 += struct.pack("<9i", *(round(end * 2**30) for end in ends))
    v4 += struct.pack("<3I", *(round(each * 2**16) for each in gamma))
    start = b"BM" + struct.pack("<IHHI", 14 + 108 + len(data) - 54, 0, 0, 122)
    picture = read_picture(io.BytesIO(start + v4 + data[54:]))
    np.testing.assert_array_equal(picture.pixels, PIXELS)
    return picture


def ends_of(xy: tuple[float, ...]) -> tuple[float, ...]:
    """Return red, green and blue as x, y and z = 1 - x - y."""
    pairs = zip(xy[2::2], xy[3::2], strict=True)
    return tuple(value for x, y in pairs for value in (x, y, 1 - x - y))


def test_bmp_headers_say_primaries_and_gamma(caplog: pytest.LogCaptureFixture) -> None:
    for kind in (b"BGRs", b" niW", bytes(4)):  # sRGB, that of Windows, and zeros
        assert bmp_v4(kind).icc_profile is None
    assert bmp_v4(bytes(4), ends_of(SRGB_XY), (2.2, 2.2, 2.2)).icc_profile is None
    wide = bmp_v4(bytes(4), ends_of(P3_XY), (1.8, 1.8, 1.8))
    assert_seen(wide, matrix_profile(DISPLAY_P3, 1.8), PIXELS)
    assert warnings_of(caplog) == []


def test_what_bmp_headers_say_elsewhere_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert bmp_v4(b"KNIL").icc_profile is None
    assert "its ICC profile is another file: treated as sRGB" in warnings_of(caplog)[0]
    assert bmp_v4(bytes(4), ends_of(SRGB_XY), (1.8, 2.2, 2.2)).icc_profile is None
    assert "its three colours have different gammas" in warnings_of(caplog)[1]


def tiff_with(*curves: np.ndarray, xy: tuple[float, ...] = ()) -> Picture:
    """Return a TIFF file with a transfer function, and primaries."""
    tags: dict[int, Any] = {301: tuple(np.rint(65535 * np.concatenate(curves)).astype(int))}
    if xy:
        tags |= {318: xy[:2], 319: xy[2:]}
    file = io.BytesIO()
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[tag] = tuple(map(float, value)) if tag != 301 else tuple(map(int, value))
    info.tagtype[301] = 3
    Image.fromarray(PIXELS).save(file, "TIFF", tiffinfo=info)
    return read_picture(file)


def test_tiff_says_its_transfer_function_by_a_tag(caplog: pytest.LogCaptureFixture) -> None:
    values = np.linspace(0, 1, 256)
    for curves in ([values**1.8], [values**1.8] * 3):
        assert_seen(tiff_with(*curves, xy=P3_XY), matrix_profile(DISPLAY_P3, 1.8), PIXELS)
    assert_seen(tiff_with(values**1.8), matrix_profile(SRGB, 1.8), PIXELS)
    for curve in (srgb_light(256), values**2.2):
        assert tiff_with(curve).icc_profile is None
    linear = tiff_with(values)
    assert linear.icc_profile is None
    assert np.abs(linear.pixels - srgb_curve(PIXELS / 255).astype(int)).max() <= 1
    assert warnings_of(caplog) == []


def test_a_transfer_function_of_another_kind_is_said(caplog: pytest.LogCaptureFixture) -> None:
    values = np.linspace(0, 1, 256)
    for curves in ([1 - values], [values**1.8, values**2.2, values**2.2], [values * 0]):
        picture = tiff_with(*curves)
        assert picture.icc_profile is None
        np.testing.assert_array_equal(picture.pixels, PIXELS)
    said = warnings_of(caplog)
    assert len(said) == 3
    assert all("its transfer function is not a gamma" in each for each in said)


def test_avif_with_alpha_says_its_colours(caplog: pytest.LogCaptureFixture) -> None:
    alpha = np.full((16, 24, 1), 100, np.uint8)
    picture = read_picture(io.BytesIO(avif(12, 13, np.dstack([PIXELS, alpha]))))
    assert picture.alpha is not None and picture.icc_profile is not None
    assert_seen(picture, matrix_profile(DISPLAY_P3), picture.pixels)
    assert warnings_of(caplog) == []


TAGS = st.sampled_from([b"gAMA", b"cHRM", b"cICP", b"sRGB", b"iCCP", b"eXIf"])


@given(st.lists(st.tuples(TAGS, st.binary(max_size=40))))
def test_no_bytes_about_colour_cost_a_png_file_its_pixels(said: list[tuple[bytes, bytes]]) -> None:
    assert of_png(*said).pixels.shape == PIXELS.shape


def test_a_damaged_chunk_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    data = png(PIXELS, 8, 2, cicp(12, 13), gama(0.3))
    place = data.index(b"gAMA")
    data = data[: place + 4] + b"\xff" + data[place + 5 :]
    picture = read_picture(io.BytesIO(data))
    assert_seen(picture, matrix_profile(DISPLAY_P3))
    assert warnings_of(caplog) == ["the picture has metadata that cannot be read: left out"]


WIDE_AVIF = avif(12, 13)
WIDE_JP2 = io.BytesIO()
Image.fromarray(PIXELS).save(WIDE_JP2, "JPEG2000")


@pytest.mark.parametrize("data", [WIDE_AVIF, WIDE_JP2.getvalue()])
@given(st.integers(0, 330), st.binary(min_size=1, max_size=9))
def test_no_boxes_end_in_another_error(data: bytes, at: int, by: bytes) -> None:
    with contextlib.suppress(ImageError):
        read_picture(io.BytesIO(data[:at] + by + data[at + len(by) :]), 2**16)
