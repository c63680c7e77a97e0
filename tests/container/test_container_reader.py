"""Reading parts: only what is asked for, from any file, and never more than there is."""

import io
import tracemalloc
import zlib
from pathlib import Path

import pytest
from container_files import EXIF, FULL, HEADER, PROFILE, TILES, XMP, chunk, forged
from hypothesis import given, settings
from hypothesis import strategies as st

from slimcae import container
from slimcae.container import Contents, Reader
from slimcae.errors import BitstreamError

DATA = container.write(FULL)


class CountingFile(io.BytesIO):
    """Counts the bytes that are read from it, each time."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


class HesitantFile(io.BytesIO):
    """Gives three bytes at a time, as an unbuffered file may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(3 if size is None or size < 0 else min(size, 3))


class ShrinkingFile(io.BytesIO):
    """Has lost its last bytes since its size was asked."""

    def read(self, size: int | None = -1) -> bytes:
        rest = max(len(DATA) - 5 - self.tell(), 0)
        return super().read(rest if size is None or size < 0 else min(size, rest))


class StalledFile(io.BytesIO):
    """Not blocking, and nothing to read at the moment."""

    def read(self, size: int | None = -1) -> bytes:
        return None  # type: ignore[return-value]


class BrokenFile(io.BytesIO):
    """On a disk that fails behind the head."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 0:
            raise OSError(5, "Input/output error")
        return super().read(size)


def check_all(reader: Reader) -> None:
    """Compare every part with `FULL`, the last tile first."""
    assert reader.header == HEADER
    for index in reversed(range(len(TILES))):
        assert reader.tile(index) == TILES[index]
    assert (reader.xmp, reader.exif, reader.icc_profile) == (XMP, EXIF, PROFILE)
    assert reader.has_alpha
    assert reader.alpha == FULL.alpha
    reader.verify()


def test_every_part_comes_back_from_bytes_and_files(tmp_path: Path) -> None:
    check_all(Reader(DATA))
    check_all(Reader(io.BytesIO(DATA)))
    check_all(Reader(HesitantFile(DATA)))
    path = tmp_path / "photo.scae"
    path.write_bytes(DATA)
    with path.open("rb") as file:
        check_all(Reader(file))
    with path.open("rb", buffering=0) as raw:
        check_all(Reader(raw))


@pytest.mark.parametrize("position", [0, 1, 64, len(DATA), len(DATA) + 100])
def test_the_position_of_the_file_does_not_matter(position: int) -> None:
    file = io.BytesIO(DATA)
    file.seek(position)
    reader = Reader(file)
    file.seek(position)
    check_all(reader)
    for index in range(len(TILES)):
        file.seek(position)
        assert reader.tile(index) == TILES[index]


def test_a_plain_file_has_no_parts_beside_its_tiles() -> None:
    reader = Reader(forged())
    assert not reader.has_alpha
    assert (reader.alpha, reader.icc_profile, reader.exif, reader.xmp) == (None,) * 4


def test_sizes_add_up_to_the_file() -> None:
    data = forged(chunk(b"text", b"a note"), chunk(b"ALPH", b"alpha"))
    sizes = Reader(data).sizes()
    assert sizes == {
        "header": 29 + 4 + 6 * 8 + 4,
        "text": 12 + 6,
        "ALPH": 12 + 5,
        "tiles": sum(map(len, TILES)),
    }
    assert sum(sizes.values()) == len(data)
    assert sum(Reader(DATA).sizes().values()) == len(DATA)
    assert list(Reader(DATA).sizes()) == ["header", "iccp", "exif", "xmpp", "ALPH", "tiles"]


@pytest.mark.parametrize("index", [-1, 6, 2**40])
def test_tiles_that_the_picture_has_not_are_an_index_error(index: int) -> None:
    with pytest.raises(IndexError, match=f"tile {index} of 6"):
        Reader(DATA).tile(index)


def big_file() -> CountingFile:
    """1024 tiles of 10,000 bytes; alpha, EXIF data and an unknown chunk of 100,000."""
    incompressible = bytes(zlib.crc32(bytes([i % 256, i // 256])) % 256 for i in range(50_000))
    chunks = [
        chunk(b"ALPH", bytes(100_000)),
        chunk(b"exif", zlib.compress(incompressible, 0)),
        chunk(b"text", bytes(100_000)),
    ]
    tiles = [i.to_bytes(4, "little") * 2500 for i in range(1024)]
    return CountingFile(forged(*chunks, tiles=tiles, height=512, width=512))


def test_only_what_is_asked_for_is_read() -> None:
    file = big_file()
    head = 29 + 4 + 8 * 1024 + 4
    reader = Reader(file)
    assert file.count == head + 3 * 12
    assert reader.has_alpha
    assert sum(reader.sizes().values()) == len(file.getvalue())
    assert file.count == head + 3 * 12

    file.count = 0
    assert reader.tile(1000) == (1000).to_bytes(4, "little") * 2500
    assert file.count == 10_000
    file.count = 0
    assert reader.alpha == bytes(100_000)
    assert file.count == 100_000
    file.count = 0
    assert len(reader.exif or b"") == 6 + 50_000
    assert 50_000 < file.count < 50_100
    file.count = 0
    reader.verify()
    assert file.count == len(file.getvalue()) - head - 3 * 12


def test_opening_a_file_of_one_tile_reads_65_bytes() -> None:
    file = CountingFile(forged(tiles=[bytes(10_000)], exponent=6))
    assert Reader(file).tile(0) == bytes(10_000)
    assert file.count == 65 + 10_000


def test_memory_is_that_of_one_tile() -> None:
    file = big_file()
    tracemalloc.start()
    Reader(file).verify()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000  # of ten million


def test_pipes_are_refused_with_what_to_do() -> None:
    class Pipe(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            raise OSError(29, "Illegal seek")

    class Socket(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            raise io.UnsupportedOperation("seek")

    for file in (Pipe(DATA), Socket(DATA)):
        with pytest.raises(BitstreamError, match=r"not seekable .* read all of it and give its"):
            Reader(file)


def test_a_file_that_shrinks_meanwhile_is_a_bitstream_error() -> None:
    reader = Reader(ShrinkingFile(DATA))
    assert reader.tile(0) == TILES[0]
    with pytest.raises(BitstreamError, match="became shorter while it was read"):
        reader.tile(5)
    with pytest.raises(BitstreamError, match="became shorter while it was read"):
        Reader(StalledFile(DATA))


def test_a_disk_that_fails_is_a_bitstream_error() -> None:
    with pytest.raises(BitstreamError, match=r"cannot be read .*Input/output error"):
        Reader(BrokenFile(DATA))


def test_a_truncated_file_still_gives_what_it_has() -> None:
    reader = Reader(DATA[: -len(TILES[-1])])
    assert (reader.exif, reader.alpha, reader.tile(4)) == (EXIF, FULL.alpha, TILES[4])
    with pytest.raises(BitstreamError, match="tile 5 should end at byte"):
        reader.tile(5)
    with pytest.raises(BitstreamError, match="truncated"):
        reader.verify()


def test_what_follows_the_picture_is_found_by_verify() -> None:
    for extra in (b"\0", DATA, chunk(b"text", b"")):
        reader = Reader(DATA + extra)
        assert reader.tile(5) == TILES[5]
        with pytest.raises(BitstreamError, match=f"^{len(extra):,} bytes follow the picture"):
            reader.verify()


def test_a_damaged_tag_does_not_pass_for_a_chunk_that_is_not_there() -> None:
    opaque = DATA.replace(b"ALPH", b"aLPH")
    reader = Reader(opaque)
    with pytest.raises(BitstreamError, match="checksum of chunk aLPH"):
        _ = reader.alpha
    assert reader.icc_profile == PROFILE


@settings(max_examples=50)
@given(
    st.lists(st.binary(max_size=50), min_size=6, max_size=6),
    st.none() | st.binary(max_size=50),
    st.lists(st.integers(0, 5), max_size=20),
)
def test_parts_are_those_of_the_whole(
    tiles: list[bytes], alpha: bytes | None, order: list[int]
) -> None:
    data = container.write(Contents(HEADER, tiles, alpha))
    reader = Reader(io.BytesIO(data))
    assert [reader.tile(index) for index in order] == [tiles[index] for index in order]
    assert reader.alpha == alpha
    assert container.read(data) == Contents(HEADER, tuple(tiles), alpha)
