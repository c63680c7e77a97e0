"""Test files of more than 8 bits per channel: each is reduced with a notice, others have none."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimcae.images import read_picture
from slimcae.images.depth import is_deep

VALUES = np.array([[[0, 128, 257], [32768, 65535, 300]]], np.uint16)
REDUCED = VALUES >> 8  # as Pillow does for colours


def ppm(maximum: int, plain: bool = False) -> bytes:
    values = np.minimum(VALUES, maximum)
    head = f"P{3 if plain else 6} 2 1 {maximum}\n".encode()
    if plain:
        return head + " ".join(map(str, values.reshape(-1))).encode()
    return head + values.astype(">u2" if maximum > 255 else np.uint8).tobytes()


def tiff(bits: int, planes: bool = False) -> bytes:
    """Return an uncompressed RGB file of 2x1 pixels (TIFF 6.0, section 6)."""
    values = VALUES.transpose(2, 0, 1) if planes else VALUES
    pixels = (values if bits == 16 else values >> 8).astype(f"<u{bits // 8}").tobytes()
    start = 8 + 2 + 10 * 12 + 4
    each = len(pixels) // 3
    data = struct.pack("<3H", bits, bits, bits) + b"\0\0"
    strips = start + len(data) + 24
    data += struct.pack("<6I", *(strips + each * i for i in range(3)), each, each, each) + pixels
    entries = [
        (256, 4, 1, 2), (257, 4, 1, 1), (258, 3, 3, start), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 3, start + 8) if planes else (273, 4, 1, strips),
        (277, 3, 1, 3), (278, 4, 1, 1),
        (279, 4, 3, start + 20) if planes else (279, 4, 1, len(pixels)),
        (284, 3, 1, 2 if planes else 1),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + data


def jpeg_2000(depth: int, **options: object) -> bytes:
    """Return a picture of 8 bits whose marker SIZ declares another depth."""
    file = io.BytesIO()
    Image.fromarray((VALUES >> 8).astype(np.uint8)).save(file, "JPEG2000", **options)
    data = bytearray(file.getvalue())
    start = data.index(b"\xff\x4f\xff\x51") + 42
    data[start : start + 9 : 3] = bytes([depth - 1] * 3)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "deep"),
    [
        (ppm(255), False),
        (ppm(65535), True),
        (ppm(1023), True),
        (ppm(255, plain=True), False),
        (ppm(65535, plain=True), True),
        (tiff(8), False),
        (tiff(16), True),
        (tiff(8, planes=True), False),
        (tiff(16, planes=True), True),
    ],
)
def test_colours_of_more_than_8_bits_are_reduced_with_a_notice(
    tmp_path: Path, data: bytes, deep: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.picture"
    path.write_bytes(data)
    picture = read_picture(path)
    assert picture.pixels.shape == VALUES.shape
    assert caplog.messages == (
        [f"{path} has more than 8 bits per channel: reduced to 8"] if deep else []
    )


def test_the_files_by_hand_are_what_they_should_be() -> None:
    for data in (tiff(8), tiff(16)):
        np.testing.assert_array_equal(read_picture(io.BytesIO(data)).pixels, REDUCED)


@pytest.mark.parametrize("options", [{}, {"no_jp2": True}])
@pytest.mark.parametrize("depth", [1, 8, 9, 12, 16])
def test_jpeg_2000_says_its_depth(depth: int, options: dict[str, bool]) -> None:
    with Image.open(io.BytesIO(jpeg_2000(depth, **options))) as image:
        assert image.fp is not None
        position = image.fp.tell()
        assert is_deep(image) == (depth > 8)
        assert image.fp.tell() == position


def test_a_deep_jpeg_2000_file_is_read_with_a_notice(caplog: pytest.LogCaptureFixture) -> None:
    file = io.BytesIO()
    Image.fromarray(VALUES[:, :, 0]).save(file, "JPEG2000")
    picture = read_picture(file)
    np.testing.assert_array_equal(picture.pixels[0, :, 0], [0, 128])
    assert caplog.messages == ["the picture has more than 8 bits per channel: reduced to 8"]


def test_a_picture_that_was_loaded_or_closed_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.jp2"
    path.write_bytes(jpeg_2000(8))
    with Image.open(path) as image:
        image.load()
    assert read_picture(image).pixels.shape == VALUES.shape
    assert not is_deep(image)
