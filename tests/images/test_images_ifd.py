"""Test the values of EXIF data: equal to Pillow's, and no errors for any other bytes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from cpu_time import growth
from slimcae.images.ifd import exif_values


def some_exif(order: str) -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "somebody"
    exif[ExifTags.Base.WhitePoint] = (0.3127, 0.329)
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.ColorSpace: 0xFFFF,
        ExifTags.Base.Gamma: 2.2,
        ExifTags.Base.MakerNote: bytes(200),
        ExifTags.IFD.Interop: {1: "R03"},
    }
    return exif.tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_values_are_those_that_pillow_reads(order: str) -> None:
    data = some_exif(order)
    for found in (exif_values(data), exif_values(b"Exif\0\0" + data), exif_values(data[6:])):
        assert found[ExifTags.Base.Orientation] == (6,)
        assert found[ExifTags.Base.Artist] == b"somebody"
        assert found[ExifTags.Base.WhitePoint] == pytest.approx((0.3127, 0.329))
        assert found[ExifTags.Base.ColorSpace] == (0xFFFF,)
        assert found[ExifTags.Base.Gamma] == pytest.approx((2.2,))
        assert found[1] == b"R03"
        assert ExifTags.Base.MakerNote not in found


DATA = some_exif("<")


@given(
    st.binary(max_size=100)
    | st.builds(
        lambda at, by: DATA[:at] + by + DATA[at + len(by) :],
        st.integers(0, len(DATA)),
        st.binary(max_size=6),
    )
    | st.integers(0, len(DATA)).map(lambda end: DATA[:end])
    | st.binary(max_size=60).map(lambda rest: b"MM\0*\0\0\0\x08" + rest)
)
def test_no_bytes_do_harm(data: bytes) -> None:
    for value in exif_values(data).values():
        assert isinstance(value, bytes | tuple) and len(value) <= 64


def test_directories_that_refer_to_themselves_end() -> None:
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)
    for count in (1, 0xFFFF):
        data = b"II*\0" + struct.pack("<IH", 8, count) + entry
        assert exif_values(data) == {0x8769: (8,)}


def test_many_entries_cost_no_more_than_their_number() -> None:
    files = {
        count: b"II*\0" + struct.pack("<IH", 8, count) + struct.pack("<HHII", 1, 3, 1, 5) * count
        for count in (1_000, 16_000)
    }
    assert growth(lambda count: exif_values(files[count]), *files) < 4  # most are not read
