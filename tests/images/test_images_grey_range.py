"""Test greys of more than 8 bits: black and white are the limits of the file's number type."""

import io
import logging

import numpy as np
import pytest
from made_files import grey_tiff
from PIL import Image

from slimcae.errors import ImageError
from slimcae.images import read_picture

RNG = np.random.default_rng(0)


def full_range(kind: str) -> np.ndarray:
    """Return values (8, 6) of an integer type, with its minimum and maximum."""
    info = np.iinfo(kind)
    values = RNG.integers(
        info.min, info.max, (8, 6), endpoint=True, dtype=np.dtype(kind).newbyteorder("=")
    )
    values[0, :2] = info.min, info.max
    return values.astype(kind)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("kind", ["<u1", "<u2", ">u2", "<i1", "<i2", ">i2", "<u4", "<i4", ">i4"])
def test_integers_have_their_full_range(
    kind: str, photometric: int, caplog: pytest.LogCaptureFixture
) -> None:
    values = full_range(kind)
    data = grey_tiff(values, photometric)
    try:
        Image.open(io.BytesIO(data)).close()
    except OSError:  # Pillow does not know all of them: then we also refuse them
        with pytest.raises(ImageError, match="Pillow cannot read"):
            read_picture(io.BytesIO(data))
        assert photometric == 0
        return
    info = np.iinfo(kind)
    share = (values.astype(float) - info.min) / (info.max - info.min)
    expected = np.rint(255 * (share if photometric else 1 - share))
    picture = read_picture(io.BytesIO(data))
    # half a level may be rounded in both directions
    assert np.abs(picture.pixels[:, :, 0] - expected).max() <= (0 if photometric else 1)
    assert picture.grey
    assert any("8 bits" in message for message in caplog.messages) == (np.dtype(kind).itemsize > 1)
    signed = kind[1] == "i" and kind != "<i1"
    assert any("signed values" in message for message in caplog.messages) == signed


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("kind", ["<f4", ">f4"])
def test_floats_from_0_to_1(kind: str, photometric: int) -> None:
    values = RNG.uniform(0, 1, (8, 6)).astype(kind)
    picture = read_picture(io.BytesIO(grey_tiff(values, photometric)))
    share = values.astype(float) if photometric else 1 - values.astype(float)
    np.testing.assert_array_equal(picture.pixels[:, :, 0], np.rint(255 * share))


def test_12_bits_reach_white() -> None:
    values = RNG.integers(0, 4096, (8, 6)).astype(np.uint16)
    values[0, :2] = 0, 4095
    picture = read_picture(io.BytesIO(grey_tiff(values, bits=12)))
    np.testing.assert_array_equal(picture.pixels[:, :, 0], np.rint(values * (255 / 4095)))


def test_compressed_files_are_read_alike() -> None:
    values = full_range("<u2")
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF", compression="tiff_lzw", tiffinfo={262: 0})
    picture = read_picture(file)
    np.testing.assert_array_equal(picture.pixels[:, :, 0], np.rint((65535 - values) / 257.0))


@pytest.mark.parametrize("kind", ["i2", "i4", "f4"])
@pytest.mark.parametrize("order", "<>")
def test_compressed_files_of_either_order_are_read_alike(kind: str, order: str) -> None:
    values = (np.linspace(0, 1, 48).reshape(8, 6)).astype("f4")
    if kind != "f4":
        values = np.rint(values * 2.0 ** (int(kind[1]) * 8 - 2))
    plain = grey_tiff(values.astype(order + kind))
    expected = read_picture(plain).pixels
    assert np.ptp(expected) > 50
    packed = grey_tiff(values.astype(order + kind), deflated=True)
    np.testing.assert_array_equal(read_picture(packed).pixels, expected)
    with Image.open(io.BytesIO(packed)) as image:
        np.testing.assert_array_equal(read_picture(image).pixels, expected)


@pytest.mark.parametrize("kind", ["<u4", "<i4"])
def test_32_bits_that_would_be_one_grey_are_refused(kind: str) -> None:
    values = RNG.integers(0, 65536, (8, 6)).astype(kind)
    with pytest.raises(ImageError, match=r"32 bits, but only from \d+ to \d+.*to 16 bits first"):
        read_picture(io.BytesIO(grey_tiff(values)))


@pytest.mark.parametrize("values", [[-1, 5], [0, 65536], [2**24, 2**24]])
def test_numbers_beyond_16_bits_are_never_clipped(values: list[int]) -> None:
    image = Image.fromarray(np.array([values], np.int32))
    with pytest.raises(ImageError, match=f"values from {min(values)} to {max(values)}, beyond"):
        read_picture(image)


def test_notices_come_once(caplog: pytest.LogCaptureFixture) -> None:
    read_picture(io.BytesIO(grey_tiff(full_range("<i2"))))
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert caplog.messages[1] == (
        "the picture has signed values: -32768 is black and 32767 is white"
    )


@pytest.mark.parametrize("kind", ["<u4", "<i4"])
def test_32_bits_of_nothing_but_black_or_white_are_read(kind: str) -> None:
    for value, level in ((np.iinfo(kind).min, 0), (np.iinfo(kind).max, 255)):
        picture = read_picture(io.BytesIO(grey_tiff(np.full((8, 6), value, kind))))
        assert (picture.pixels == level).all()
    with pytest.raises(ImageError, match="would all be one grey"):
        read_picture(io.BytesIO(grey_tiff(np.full((8, 6), 65535, kind))))


def test_fits_files_of_16_bits_are_signed() -> None:
    values = full_range(">i2")
    cards = ["SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 6", "NAXIS2  = 8", "END"]
    header = "".join(card.ljust(80) for card in cards).ljust(2880).encode()
    picture = read_picture(io.BytesIO(header + values.tobytes() + bytes(2880 - values.nbytes)))
    levels = np.rint((values.astype(float) + 32768) * (255 / 65535))
    np.testing.assert_array_equal(picture.pixels[::-1, :, 0], levels)  # from the bottom up
