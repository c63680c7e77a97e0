"""The header: every byte's place, limits, and what is refused how."""

import dataclasses
import zlib

import pytest

from slimcae.container import MAGIC, MAX_HEADER_BYTES, Header, read_header
from slimcae.errors import BitstreamError

HEADER = Header(
    image_height=0x01020304,
    image_width=0x0A0B0C0D,
    grey=True,
    num_filters=0x00C0,
    step=7,
    model_name="slimcae-1",
    model_fingerprint=bytes.fromhex("f0f1f2f3f4f5f6f7"),
)
CHECKED = bytes.fromhex(
    "89 53 0d 0a"  # magic
    "01"  # version
    "01"  # flags: grey
    "c0 00"  # num_filters
    "04 03 02 01"  # height
    "0d 0c 0b 0a"  # width
    "07"  # step
    "f0 f1 f2 f3 f4 f5 f6 f7"  # fingerprint
    "09"  # length of the name
    "73 6c 69 6d 63 61 65 2d 31"  # name
)
GOLDEN = CHECKED + bytes.fromhex("fa 83 a6 e9")


def sealed(checked: bytes) -> bytes:
    """With a correct checksum, as a forger would write it."""
    return checked + zlib.crc32(checked).to_bytes(4, "little")


def test_every_byte_has_its_place() -> None:
    assert bytes(HEADER) == GOLDEN
    assert read_header(GOLDEN) == HEADER


def test_a_prefix_is_enough() -> None:
    assert read_header(GOLDEN + bytes(100)) == HEADER
    longest = dataclasses.replace(HEADER, model_name="n" * 32)
    assert len(bytes(longest)) == MAX_HEADER_BYTES == 62
    assert read_header((bytes(longest) + bytes(100))[:MAX_HEADER_BYTES]) == longest


def test_a_header_with_a_name_of_12_characters_has_42_bytes() -> None:
    assert len(bytes(dataclasses.replace(HEADER, model_name="slimcae-2026"))) == 42


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_height": 0}, "image height 0: must be from 1 to 4294967295"),
        ({"image_width": 2**32}, "image width 4294967296: must be"),
        ({"num_filters": 0}, "number of filters 0: must be from 1 to 65535"),
        ({"num_filters": 65536}, "number of filters 65536"),
        ({"step": 256}, "quantisation step 256: must be from 0 to 255"),
        ({"step": -1}, "quantisation step -1"),
        ({"model_name": ""}, "model name '': must be 1 to 32"),
        ({"model_name": "n" * 33}, "model name 'nnn"),
        ({"model_name": "größer"}, "printable ASCII"),
        ({"model_name": "two\nlines"}, "printable ASCII"),
        ({"model_fingerprint": bytes(7)}, "fingerprint of 7 bytes: must be 8"),
    ],
)
def test_values_that_no_file_can_hold_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BitstreamError, match=message):
        dataclasses.replace(HEADER, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "header",
    [
        dataclasses.replace(HEADER, image_height=1, image_width=1, num_filters=1, step=0),
        dataclasses.replace(
            HEADER, image_height=2**32 - 1, image_width=2**32 - 1, num_filters=65535, step=255
        ),
    ],
)
def test_the_outermost_values_come_back(header: Header) -> None:
    assert read_header(bytes(header)) == header


@pytest.mark.parametrize("version", [0, 2, 255])
def test_an_unknown_version_is_refused_with_both_versions_named(version: int) -> None:
    data = MAGIC + bytes([version]) + b"whatever a later format has here"
    with pytest.raises(BitstreamError, match=f"version {version}, this slimcae reads version 1:"):
        read_header(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"\x89S", "ends after 2 bytes"),
        (b"\x89PNG\r\n\x1a\n", "it begins with b'.x89PNG'"),
        (b"BM", "it begins with b'BM'"),
        (GOLDEN.replace(b"\r\n", b"\n"), "transfer as text"),
        (GOLDEN.replace(b"\n", b"\r\n"), "transfer as text"),
        (bytes(byte & 0x7F for byte in GOLDEN), "transfer as text"),
    ],
)
def test_foreign_data_are_refused_with_what_they_are(data: bytes, message: str) -> None:
    with pytest.raises(BitstreamError, match=f"not a .scae file: .*{message}"):
        read_header(data)


def test_every_truncation_is_refused() -> None:
    for length in range(len(GOLDEN)):
        with pytest.raises(BitstreamError):
            read_header(GOLDEN[:length])


def test_every_flipped_bit_is_refused() -> None:
    for position in range(len(GOLDEN)):
        for bit in range(8):
            damaged = bytearray(GOLDEN)
            damaged[position] ^= 1 << bit
            with pytest.raises(BitstreamError):
                read_header(bytes(damaged) + bytes(64))


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (5, b"\x03", "unknown header flags 0x02"),
        (6, b"\0\0", "number of filters 0"),
        (8, bytes(4), "image height 0"),
        (12, bytes(4), "image width 0"),
        (25, b"\xff", "model name of 255 characters"),
        (26, b"\xff", "printable ASCII"),
        (26, b"\0", "printable ASCII"),
    ],
)
def test_forged_headers_are_refused(position: int, value: bytes, message: str) -> None:
    forged = CHECKED[:position] + value + CHECKED[position + len(value) :]
    with pytest.raises(BitstreamError, match=message):
        read_header(sealed(forged))
    nameless = sealed(CHECKED[:25] + b"\0")
    with pytest.raises(BitstreamError, match="must be 1 to 32"):
        read_header(nameless)
