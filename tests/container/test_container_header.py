"""The head of a file: every byte's place, limits, and what is refused how."""

import dataclasses
import zlib

import pytest
from container_files import HEADER, PLAIN, forged
from hypothesis import given
from hypothesis import strategies as st

from slimcae import container
from slimcae.container import MAGIC, MAX_HEADER_BYTES, Header, read_header
from slimcae.container.header import ENTROPY_MODELS, Head, head_bytes, read_head
from slimcae.errors import BitstreamError

ONE_TILE = Header(
    image_height=0x0304,
    image_width=0x0A0B,
    grey=True,
    srgb=True,
    num_filters=0x00C0,
    step=7,
    entropy_model="tables",
    tile_side=4096,
    model_name="slimcae-1",
    model_fingerprint=bytes.fromhex("f0f1f2f3f4f5f6f7"),
)
GOLDEN = bytes.fromhex(
    "89 53 0d 0a"  # magic
    "04"  # version
    "03"  # flags: grey, sRGB
    "c0 00"  # num_filters
    "04 03 00 00"  # height
    "0b 0a 00 00"  # width
    "07"  # step
    "01"  # entropy model: tables
    "0c"  # tiles of 2**12
    "05"  # chunks
    "f0 f1 f2 f3 f4 f5 f6 f7"  # fingerprint
    "09"  # length of the name
    "73 6c 69 6d 63 61 65 2d 31"  # name
    "04 03 02 01 e4 e3 e2 e1"  # length and CRC32 of the tile's stream
    "90 fb 3c 85"  # CRC32 of all before
)


def test_every_byte_has_its_place() -> None:
    head = Head(ONE_TILE, [0x01020304], [0xE1E2E3E4], num_chunks=5)
    assert bytes(head) == GOLDEN
    assert zlib.crc32(GOLDEN[:-4]).to_bytes(4, "little") == GOLDEN[-4:]
    assert read_header(GOLDEN) == ONE_TILE
    found = read_head(GOLDEN)
    assert (*found.lengths, *found.checksums, found.num_chunks) == (0x01020304, 0xE1E2E3E4, 5)


def test_the_tests_forge_what_the_package_writes() -> None:
    assert forged() == container.write(PLAIN)


def test_the_head_of_one_tile_has_65_bytes_at_most() -> None:
    longest = dataclasses.replace(ONE_TILE, model_name="n" * 24)
    data = bytes(Head(longest, [0], [0], 0))
    assert len(data) == MAX_HEADER_BYTES == 65
    assert read_header(data) == longest
    assert len(GOLDEN) == 29 + 9 + 8 + 4


def test_a_prefix_is_enough() -> None:
    assert read_header(GOLDEN + bytes(100)) == ONE_TILE


HEADERS = st.builds(
    Header,
    image_height=st.integers(1, 200),
    image_width=st.integers(1, 200),
    grey=st.booleans(),
    srgb=st.booleans(),
    num_filters=st.integers(1, 65535),
    step=st.integers(0, 255),
    entropy_model=st.sampled_from(ENTROPY_MODELS),
    tile_side=st.integers(4, 20).map(lambda exponent: 2**exponent),
    model_name=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1).map(
        lambda name: name[:24]
    ),
    model_fingerprint=st.binary(min_size=8, max_size=8),
)
NUMBERS = st.integers(0, 2**32 - 1)


@given(HEADERS, st.data())
def test_any_head_comes_back(header: Header, data: st.DataObject) -> None:
    index = st.lists(NUMBERS, min_size=header.num_tiles, max_size=header.num_tiles)
    head = Head(header, data.draw(index), data.draw(index), data.draw(st.integers(0, 255)))
    written = bytes(head)
    assert len(written) == head_bytes(header)
    found = read_head(written)
    assert found.header == header == read_header(written)
    assert list(found.lengths) == head.lengths
    assert list(found.checksums) == head.checksums
    assert found.num_chunks == head.num_chunks


@given(st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1), st.integers(4, 20))
def test_the_grid_covers_the_picture_and_no_more(height: int, width: int, exponent: int) -> None:
    side = 2**exponent
    header = dataclasses.replace(HEADER, image_height=height, image_width=width, tile_side=side)
    rows, columns = header.tile_grid
    assert (rows - 1) * side < height <= rows * side
    assert (columns - 1) * side < width <= columns * side
    assert header.num_tiles == rows * columns


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_height": 0}, "image height 0: must be from 1 to 4294967295"),
        ({"image_width": 2**32}, "image width 4294967296: must be"),
        ({"num_filters": 0}, "number of filters 0: must be from 1 to 65535"),
        ({"num_filters": 65536}, "number of filters 65536"),
        ({"step": 256}, "quantisation step 256: must be from 0 to 255"),
        ({"step": -1}, "quantisation step -1"),
        (
            {"entropy_model": "density"},
            "density: must be one of factorized, tables, con",
        ),
        ({"tile_side": 8}, "tile side 8: must be from 16 to 1048576"),
        ({"tile_side": 2**21}, "tile side 2097152: must be from 16"),
        ({"tile_side": 48}, "tile side 48: must be a power of two"),
        ({"model_name": ""}, "model name '': must be 1 to 24"),
        ({"model_name": "n" * 25}, "model name 'nnn"),
        ({"model_name": "größer"}, "printable ASCII"),
        ({"model_name": "two\nlines"}, "printable ASCII"),
        ({"model_fingerprint": bytes(7)}, "fingerprint of 7 bytes: must be 8"),
    ],
)
def test_values_that_no_file_can_hold_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BitstreamError, match=message):
        dataclasses.replace(HEADER, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [0, 1, 2, 3, 5, 255])
def test_another_version_is_refused_with_both_versions_named(version: int) -> None:
    data = MAGIC + bytes([version]) + b"whatever that format has here"
    for attempt in (read_header, container.read, container.Reader):
        with pytest.raises(
            BitstreamError, match=f"version {version}, this slimcae reads version 4: install"
        ):
            attempt(data)


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


def test_unknown_entropy_models_are_refused() -> None:
    for kind in range(4, 256):
        with pytest.raises(BitstreamError, match=f"entropy model {kind}: must be 0 to 3"):
            read_header(forged(kind=kind))


def test_every_truncation_of_the_head_is_refused() -> None:
    for length in range(len(GOLDEN)):
        with pytest.raises(BitstreamError, match=r"truncated|it is empty|it ends after"):
            read_header(GOLDEN[:length])


def test_every_flipped_bit_of_the_head_is_refused() -> None:
    for position in range(len(GOLDEN)):
        for bit in range(8):
            damaged = bytearray(GOLDEN)
            damaged[position] ^= 1 << bit
            with pytest.raises(BitstreamError):
                read_header(bytes(damaged) + bytes(64))
