"""Whole files: every byte's place, what comes back, and what cannot be written."""

import dataclasses
import itertools

import pytest
from container_files import CHUNKS, EXIF, FULL, HEADER, PLAIN, TILES, forged
from hypothesis import given
from hypothesis import strategies as st

from slimcae import container
from slimcae.container import Contents, Header
from slimcae.errors import BitstreamError


def test_every_byte_has_its_place() -> None:
    header = Header(
        20, 33, False, True, 2, 0, "tables", 32, "example", bytes.fromhex("1122334455667788")
    )
    data = bytes.fromhex(
        "89 53 0d 0a 04 02 02 00 14 00 00 00 21 00 00 00"  # 20 rows, 33 columns
        "00 01 05 01 11 22 33 44 55 66 77 88 07 65 78 61 6d 70 6c 65"
        "05 00 00 00 57 ee 71 92"  # first tile
        "06 00 00 00 69 11 1f b6"  # second tile
        "a5 65 d3 24"  # CRC32 of all before
        "41 4c 50 48 0c 00 00 00 9b 43 f0 66 61 6c 70 68 61 20 61 73 20 50 4e 47"
        "66 69 72 73 74 73 65 63 6f 6e 64"
    )
    contents = Contents(header, (b"first", b"second"), b"alpha as PNG")
    assert container.write(contents).hex(" ") == data.hex(" ")
    assert container.read(data) == contents


def test_chunks_stand_in_order_and_any_order_is_read() -> None:
    assert container.write(FULL) == forged(*CHUNKS)
    for chunks in itertools.permutations(CHUNKS):
        assert container.read(forged(*chunks)) == FULL


def test_header_and_framing_of_a_plain_file_are_53_bytes() -> None:
    header = Header(1, 1, False, False, 192, 0, "context", 1024, "slimcae-2026", bytes(8))
    assert len(container.write(Contents(header, [b""]))) == 53


SOME = st.none() | st.binary(min_size=1, max_size=100)


@given(
    st.lists(st.binary(max_size=60), min_size=6, max_size=6).map(tuple),
    st.none() | st.binary(max_size=100),
    SOME,
    SOME,
    SOME,
)
def test_any_contents_come_back(
    tiles: tuple[bytes, ...],
    alpha: bytes | None,
    profile: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
) -> None:
    if exif is not None:
        exif = b"Exif\0\0" + exif
    contents = Contents(HEADER, tiles, alpha, profile, exif, xmp)
    data = container.write(contents)
    assert container.read(data) == contents
    chunks = container.pack_chunks(alpha=alpha, icc_profile=profile, exif=exif, xmp=xmp)
    assert container.overhead(HEADER, chunks) + sum(map(len, tiles)) == len(data)
    assert container.assemble(HEADER, tiles, chunks) == data
    assert container.write(container.read(data)) == data


def test_empty_metadata_are_none_and_empty_alpha_is_kept() -> None:
    assert container.read(container.write(Contents(HEADER, TILES, None, b"", b"", b""))) == PLAIN
    assert container.read(container.write(Contents(HEADER, TILES, exif=b"Exif\0\0"))) == PLAIN
    empty = Contents(HEADER, TILES, alpha=b"")
    assert container.read(container.write(empty)) == empty


def test_exif_data_are_stored_without_the_prefix_and_come_back_with_it() -> None:
    bare = dataclasses.replace(FULL, exif=EXIF.removeprefix(b"Exif\0\0"))
    assert container.write(bare) == container.write(FULL)
    assert container.read(container.write(bare)).exif == EXIF


@pytest.mark.parametrize("count", [0, 5, 7])
def test_streams_of_another_number_than_tiles_are_not_written(count: int) -> None:
    with pytest.raises(BitstreamError, match=f"{count} streams for 6 tiles"):
        container.write(Contents(HEADER, [b""] * count))


class FourGigabytes(bytes):
    def __len__(self) -> int:
        return 2**32


def test_streams_and_alpha_of_4_gib_are_not_written() -> None:
    with pytest.raises(BitstreamError, match="4 GiB or more: take smaller tiles"):
        container.write(Contents(HEADER, [*TILES[:5], FourGigabytes()]))
    with pytest.raises(BitstreamError, match="chunk ALPH of 4294967296 bytes: must be under 4 GiB"):
        container.write(Contents(HEADER, TILES, alpha=FourGigabytes()))
