"""Test profiles, EXIF and XMP against Pillow, an XML parser and profiles made by hand."""

import concurrent.futures
import struct
import warnings
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageOps, _util
from profiles import ADOBE_RGB, DISPLAY_P3, SRGB, matrix_profile, srgb_curve

from cpu_time import growth
from slimcae.images import metadata
from slimcae.images.metadata import (
    EXIF_PREFIX,
    MAX_SRGB_BYTES,
    exif_orientation,
    is_srgb,
    srgb_profile,
    upright_exif,
    upright_xmp,
    xmp_orientation,
)

ORIENTATION = ExifTags.Base.Orientation
TIFF_NAMESPACE = "http://ns.adobe.com/tiff/1.0/"


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    metadata._acts_like_srgb.cache_clear()
    metadata.srgb_profile.cache_clear()


def tags(exif: bytes) -> Image.Exif:
    """Return the values that Pillow reads."""
    found = Image.Exif()
    found.load(exif)
    return found


def exif_with(orientation: int | None, endian: str = "<") -> bytes:
    made = Image.Exif()
    made.endian = endian
    made[ExifTags.Base.ImageDescription] = "a picture"
    made[ExifTags.Base.XResolution] = 300.0
    if orientation is not None:
        made[ORIENTATION] = orientation
    made[ExifTags.IFD.Exif] = {ExifTags.Base.MakerNote: bytes(range(100))}
    made[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitude: (48.0, 8.0, 1.0)}
    return made.tobytes()


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (matrix_profile(), True),
        (matrix_profile(name="Adobe RGB (1998)"), True),
        (matrix_profile(curve=srgb_curve(4096)), True),
        (matrix_profile(ADOBE_RGB, name="sRGB IEC61966-2.1"), False),
        (matrix_profile(DISPLAY_P3), False),
        (matrix_profile(curve=2.2), False),
        (matrix_profile(curve=1.0), False),
        (matrix_profile((SRGB[1], SRGB[0], SRGB[2])), False),
    ],
)
def test_srgb_is_known_by_what_a_profile_does(profile: bytes, expected: bool) -> None:
    assert is_srgb(profile) is expected


def test_the_littlecms_profile_is_srgb_and_those_of_other_colours_are_not() -> None:
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert is_srgb(made)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert not is_srgb(lab)
    for space in (b"GRAY", b"CMYK"):
        assert not is_srgb(made[:16] + space + made[20:])


def test_profiles_differ_by_a_level_at_most_from_their_picture_in_srgb() -> None:
    # the oracle converts a picture of many colours with Pillow's other method
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    target = ImageCms.createProfile("sRGB")
    for curve in (None, 2.2, 2.25, 2.4):
        profile = matrix_profile(curve=curve)
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        converted = ImageCms.profileToProfile(
            Image.fromarray(colours), source, target, ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
        assert converted is not None
        furthest = np.abs(np.asarray(converted).astype(int) - colours).max()
        assert is_srgb(profile) == (furthest <= 1)


@given(st.binary(max_size=300) | st.tuples(st.integers(0, 500), st.binary(max_size=8)))
def test_a_profile_of_any_bytes_is_at_worst_not_srgb(change: bytes | tuple[int, bytes]) -> None:
    profile = matrix_profile(curve=1.8)
    if isinstance(change, tuple):
        start, patch = change
        profile = profile[:start] + patch + profile[start + len(patch) :]
    else:
        profile = change
    assert is_srgb(profile) in (True, False)


def test_large_profiles_are_not_looked_at() -> None:
    profile = matrix_profile()
    assert is_srgb(profile + bytes(MAX_SRGB_BYTES - len(profile)))
    assert not is_srgb(profile + bytes(MAX_SRGB_BYTES + 1 - len(profile)))


def test_without_littlecms_nothing_is_srgb_and_no_profile_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profile = matrix_profile()
    monkeypatch.setattr(ImageCms, "core", _util.DeferredError(ImportError("no littlecms")))
    assert not is_srgb(profile)
    assert srgb_profile() is None


def test_srgb_is_decided_once_from_few_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = matrix_profile(name="once")
    made: list[int] = []
    transform = ImageCms.ImageCmsTransform.apply

    def counted(self: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
        made.append(image.width * image.height)
        return transform(self, image)

    monkeypatch.setattr(ImageCms.ImageCmsTransform, "apply", counted)
    assert all(is_srgb(profile) for _ in range(1000))
    assert len(made) == 1
    assert made[0] < 32**2


def test_threads_agree_on_what_is_srgb() -> None:
    profiles = [matrix_profile(name=f"{number:3}") for number in range(30)]
    profiles += [matrix_profile(DISPLAY_P3, name=f"{number:3}") for number in range(30)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(is_srgb, profiles * 4))
    assert found == ([True] * 30 + [False] * 30) * 4


def test_the_srgb_profile_is_always_the_same_and_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = srgb_profile()
    assert profile is not None and is_srgb(profile)
    assert struct.unpack_from(">6H", profile, 24) == (2000, 1, 1, 0, 0, 0)  # ICC.1:2022, 7.2.8
    later = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    later[24:36] = struct.pack(">6H", 2031, 1, 2, 3, 4, 5)
    monkeypatch.setattr(ImageCms.ImageCmsProfile, "tobytes", lambda self: bytes(later))
    metadata.srgb_profile.cache_clear()
    assert srgb_profile() == profile


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_an_orientation_becomes_1_and_all_else_stays(orientation: int | None, endian: str) -> None:
    exif = exif_with(orientation, endian)
    assert exif_orientation(exif) == orientation
    upright = upright_exif(exif)
    assert upright is not None and upright.startswith(EXIF_PREFIX)
    assert exif_orientation(upright) == (None if orientation is None else 1)
    before, after = tags(exif), tags(upright)
    for found in (before, after):
        for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            found.get_ifd(ifd)
    assert after.get_ifd(ExifTags.IFD.Exif) == before.get_ifd(ExifTags.IFD.Exif)
    assert after.get_ifd(ExifTags.IFD.GPSInfo) == before.get_ifd(ExifTags.IFD.GPSInfo)
    assert dict(after) == dict(before) | ({} if orientation is None else {ORIENTATION: 1})
    assert len(upright) == len(exif)
    assert sum(a != b for a, b in zip(exif, upright, strict=True)) <= 1


def test_prefixes_are_made_one() -> None:
    exif = exif_with(6)
    tiff = exif.removeprefix(EXIF_PREFIX)
    for given_ in (tiff, exif, EXIF_PREFIX + exif):
        assert exif_orientation(given_) == 6
        assert upright_exif(given_) == upright_exif(exif)


@pytest.mark.parametrize(("kind", "layout"), [(3, "H2x"), (4, "I"), (8, "h2x"), (9, "i")])
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientations_of_every_integer_type_are_read_as_pillow_does(
    kind: int, layout: str, order: str
) -> None:
    start = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHI" + layout, ORIENTATION, kind, 1, 8)
    tiff = start + struct.pack(order + "IH", 8, 1) + entry + bytes(4)
    assert exif_orientation(tiff) == tags(tiff)[ORIENTATION] == 8
    upright = upright_exif(tiff)
    assert upright is not None and tags(upright)[ORIENTATION] == 1


def test_the_preview_of_a_turned_picture_is_no_longer_referred_to() -> None:
    def with_preview(orientation: int) -> bytes:
        entry = struct.pack("<HHIHH", ORIENTATION, 3, 1, orientation, 0)
        first = struct.pack("<H", 1) + entry + struct.pack("<I", 26)
        second = struct.pack("<HHHII", 1, ExifTags.Base.JpegIFOffset, 4, 1, 44) + bytes(4)
        return b"II*\0" + struct.pack("<I", 8) + first + second

    for orientation, kept in ((1, True), (6, False)):
        upright = upright_exif(with_preview(orientation))
        assert upright is not None
        assert bool(tags(upright).get_ifd(ExifTags.IFD.IFD1)) == kept


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\0\0",
        b"no TIFF header",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff\0\0",  # a directory beyond the end
        b"II*\0\0\0\0\0\0\0",  # a directory within the header
        b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0",  # BigTIFF, which EXIF does not use
    ],
)
def test_damaged_exif_is_nothing(exif: bytes) -> None:
    assert upright_exif(exif) is None
    assert exif_orientation(exif) is None


def orientation_by_pillow(exif: bytes) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return tags(exif).get(ORIENTATION, 1)
        except Exception:  # Pillow's ways to report that there is none
            return 1


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from([ORIENTATION, ORIENTATION, 0x10E, 0x8769, 0]),
        st.integers(0, 13),
        st.sampled_from([0, 1, 1, 1, 2, 2**32 - 1]),
        st.integers(0, 9) | st.integers(0, 2**32 - 1),
    ),
    max_size=4,
)


@given(st.binary(max_size=100), ENTRIES, st.sampled_from("<>"), st.integers(0, 60))
@example(b"", [(ORIENTATION, 3, 1, 6), (ORIENTATION, 5, 1, 8)], "<", 0)
def test_whatever_exif_holds_afterwards_it_asks_for_no_turn(
    noise: bytes, entries: list[tuple[int, int, int, int]], order: str, cut: int
) -> None:
    directory = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    for exif in (noise, head + directory + noise, (head + directory)[: 60 - cut]):
        exif_orientation(exif)
        upright = upright_exif(exif)
        if upright is not None:
            assert orientation_by_pillow(upright) == 1
            assert exif_orientation(upright) in (None, 1)
            assert upright_exif(upright) == upright


def packet(inner: str) -> bytes:
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:tiff="{TIFF_NAMESPACE}" xmlns:a="a" '
        f'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:t="{TIFF_NAMESPACE}">'
        f"{inner}</x:xmpmeta><?xpacket end='w'?>"
    ).encode()


def orientations(xmp: bytes) -> list[str | None]:
    name = f"{{{TIFF_NAMESPACE}}}Orientation"
    root = ElementTree.fromstring(xmp.decode())
    found = [element.text for element in root.iter(name)]
    return found + [node.attrib[name] for node in root.iter() if name in node.attrib]


@pytest.mark.parametrize(
    "inner",
    [
        '<rdf:Description tiff:Orientation="6" a:b="é"/>',
        "<rdf:Description tiff:Orientation = '8'/>",
        "<tiff:Orientation>3</tiff:Orientation>",
        '<tiff:Orientation rdf:datatype="x">\n 3 </tiff:Orientation>',
        '<rdf:Description t:Orientation="&#54;"/><t:Orientation>&#x36;</t:Orientation>',
    ],
)
def test_an_orientation_in_xmp_becomes_1(inner: str) -> None:
    before = packet(inner)
    assert orientations(before) != []
    upright = upright_xmp(before)
    assert upright is not None
    assert orientations(upright) == ["1"] * len(orientations(before))
    assert upright.decode().replace("1", "").count("é") == inner.count("é")


def test_xmp_without_an_orientation_stays_byte_for_byte() -> None:
    xmp = packet('<a:b a:Orientation="landscape" a:Orientations="6">tiff:Orientation 6</a:b>')
    assert upright_xmp(xmp) == xmp
    assert upright_xmp(xmp + b"\0\0") == xmp
    assert xmp_orientation(xmp) is None


def test_what_is_no_text_is_no_xmp() -> None:
    for xmp in (b"", b"\0\0", b"\xff\xfe<\0", "<x/>".encode("utf-16"), "<x/>".encode("utf-16-le")):
        assert upright_xmp(xmp) is None


@pytest.mark.parametrize(
    "inner", ['<a tiff:Orientation="6"/>', "<tiff:Orientation>6</tiff:Orientation>"]
)
def test_pillow_finds_the_same_orientation_in_xmp(inner: str) -> None:
    image = Image.new("L", (4, 2))
    image.info["xmp"] = packet(inner)
    assert xmp_orientation(packet(inner)) == 6
    assert ImageOps.exif_transpose(image).size == (2, 4)
    upright = upright_xmp(packet(inner))
    image = Image.new("L", (4, 2))
    image.info["xmp"] = upright
    assert ImageOps.exif_transpose(image).size == (4, 2)


@given(st.binary(max_size=200) | st.text("<>/:=\"' tiff:Orientation123&#;x\0").map(str.encode))
def test_xmp_of_any_bytes_asks_for_no_turn_afterwards(xmp: bytes) -> None:
    xmp_orientation(xmp)
    upright = upright_xmp(xmp)
    if upright is not None:
        assert upright.decode()
        assert upright_xmp(upright) == upright


@pytest.mark.parametrize(
    "piece", [b":Orientation ", b":Orientation='", b"<tiff:Orientation a", b":Orientation>1&#"]
)
def test_hostile_xmp_costs_no_more_than_its_length(piece: bytes) -> None:
    xmp = {size: piece * (size // len(piece)) for size in (2**15, 2**19)}
    assert growth(lambda size: upright_xmp(xmp[size]), *xmp) < 64  # not 256: quadratic
