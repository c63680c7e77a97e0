"""Damaged and forged files: `BitstreamError` or the right contents, and nothing else.

Every test prints how many files it tried: `pytest -rP tests/container/test_container_hostile.py`.
"""

import logging
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest
from container_files import CHUNKS, FULL, PLAIN, TILES, chunk, forged, number
from hypothesis import given, settings
from hypothesis import strategies as st

from cpu_time import lines_run
from slimcae import container
from slimcae.container import Contents, Reader, read_header
from slimcae.errors import BitstreamError

FILES = {
    "plain": (forged(), PLAIN),
    "all chunks": (forged(*CHUNKS), FULL),
    "unknown chunks": (forged(chunk(b"note", b"of 2040"), *CHUNKS, chunk(b"text", b"")), FULL),
}
HEAD_BYTES = 29 + 4 + 8 * 6 + 4


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of notices about damaged metadata are expected."""
    caplog.set_level(logging.ERROR, "slimcae")


def truncated(data: bytes) -> Iterator[bytes]:
    for length in range(len(data)):
        yield data[:length]


def flipped(data: bytes) -> Iterator[bytes]:
    """Every byte replaced by each of the 255 others."""
    for position in range(len(data)):
        for mask in range(1, 256):
            yield data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


def shifted(data: bytes) -> Iterator[bytes]:
    """One byte lost, doubled, or put in, everywhere."""
    for position in range(len(data)):
        yield data[:position] + data[position + 1 :]
        yield data[:position] + data[position : position + 1] + data[position:]
        yield data[:position] + b"\0" + data[position:]


def blanked(data: bytes) -> Iterator[bytes]:
    """Zeros from everywhere on: to the end, or for some bytes, as of a disk that failed."""
    for position in range(len(data)):
        for length in (2, 4, 8, 16, 64, len(data)):
            part = data[position : position + length]
            if any(part):
                yield data[:position] + bytes(len(part)) + data[position + length :]


def swapped(data: bytes) -> Iterator[bytes]:
    """Two neighbouring parts of the file in the wrong order."""
    for position in range(len(data)):
        for length in (1, 4, 8, 12):
            one, two = data[position:][:length], data[position + length :][:length]
            if one != two and len(one) == len(two):
                yield data[:position] + two + one + data[position + 2 * length :]


@pytest.mark.parametrize("damage", [truncated, flipped, shifted, blanked, swapped])
@pytest.mark.parametrize("name", FILES)
def test_every_damage_is_found(name: str, damage: Callable[[bytes], Iterator[bytes]]) -> None:
    data, right = FILES[name]
    assert container.read(data) == right
    tried = 0
    for damaged in damage(data):
        tried += 1
        with pytest.raises(BitstreamError):
            container.read(damaged)
        check_parts(damaged, right)
    print(f"{tried:,} files {damage.__name__}: {tried:,} BitstreamErrors, no wrong part")
    assert tried >= len(data)


def check_parts(data: bytes, right: Contents) -> None:
    """Each part of a damaged file, read alone, is right or a `BitstreamError`."""
    try:
        reader = Reader(data)
    except BitstreamError:
        return
    assert reader.header == right.header
    parts: list[tuple[Callable[[], object], object]] = [
        (lambda: reader.alpha, right.alpha),
        (lambda: reader.icc_profile, right.icc_profile),
        (lambda: reader.exif, right.exif),
        (lambda: reader.xmp, right.xmp),
    ]
    parts += [(lambda i=i: reader.tile(i), tile) for i, tile in enumerate(right.tiles)]  # type: ignore[misc]
    for read, expected in parts:
        try:
            found = read()
        except BitstreamError:
            continue
        assert found == expected


def check_forged(data: bytes) -> bool:
    """Whether a file can be read; if so, what it holds must be what its parts hold."""
    try:
        contents = container.read(data)
    except BitstreamError:
        return False
    assert container.read(container.write(contents)) == contents
    check_parts(data, contents)
    return True


def resealed(data: bytes) -> bytes:
    """With right checksums of the head and of chunks and tiles, as far as they can be found."""
    sealed = bytearray(data)
    tiles = HEAD_BYTES
    for _ in range(data[19]):
        length = int.from_bytes(data[tiles + 4 : tiles + 8], "little")
        payload = data[tiles + 12 : tiles + 12 + length]
        sealed[tiles + 8 : tiles + 12] = number(zlib.crc32(data[tiles:][:8] + payload), 4)
        tiles += 12 + length
    for entry in range(33, HEAD_BYTES - 4, 8):
        length = int.from_bytes(data[entry : entry + 4], "little")
        sealed[entry + 4 : entry + 8] = number(zlib.crc32(data[tiles : tiles + length]), 4)
        tiles += length
    sealed[HEAD_BYTES - 4 : HEAD_BYTES] = number(zlib.crc32(sealed[: HEAD_BYTES - 4]), 4)
    return bytes(sealed[: len(data)])


def test_every_byte_forged_with_right_checksums_is_read_or_refused() -> None:
    data, _ = FILES["unknown chunks"]
    assert resealed(data) == data
    outcomes = [check_forged(resealed(damaged)) for damaged in flipped(data)]
    read = sum(outcomes)
    print(f"{len(outcomes):,} files forged with right checksums: {read:,} read, others refused")
    assert 0.2 * len(outcomes) < read < 0.9 * len(outcomes)


@settings(max_examples=300)
@given(
    st.sampled_from(list(FILES)),
    st.lists(st.tuples(st.integers(4, 400), st.integers(0, 255)), min_size=1, max_size=12),
    st.binary(max_size=8),
)
def test_several_bytes_forged_at_once(
    name: str, changes: list[tuple[int, int]], end: bytes
) -> None:
    data = bytearray(FILES[name][0])
    for position, value in changes:
        data[position % len(data)] = value
    check_forged(bytes(data) + end)
    check_forged(resealed(bytes(data)) + end)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_alone_and_behind_a_head(data: bytes) -> None:
    head = FILES["all chunks"][0][:HEAD_BYTES]
    for attempt in (data, b"\x89S\r\n" + data, b"\x89S\r\n\x03" + data, head + data):
        with pytest.raises(BitstreamError):
            container.read(attempt)


MOST = 2**32 - 1
ABSURD = {
    "the largest picture in the smallest tiles": (
        forged(height=MOST, width=MOST),
        f"72,057,594,037,927,936 tiles of {MOST}x{MOST}",
    ),
    "the largest picture in the largest tiles": (
        forged(height=MOST, width=MOST, exponent=20),
        "16,777,216 tiles",
    ),
    "one row of tiles": (forged(height=1, width=MOST), "268,435,456 tiles"),
    "one column of tiles": (forged(height=MOST, width=1), "268,435,456 tiles"),
    "one tile too few": (forged(tiles=TILES[:5]), "checksum"),
    "one tile too many": (forged(tiles=[*TILES, b"7"]), "checksum"),
    "no tiles": (forged(tiles=[]), "index is incomplete|cannot hold|checksum"),
    "a tile of 4 GiB": (forged(lengths=[MOST, 0, 13, 1, 4, 8]), "4,294,967,[0-9]+ bytes"),
    "only tiles of 4 GiB": (forged(lengths=[MOST] * 6), "25,769,803,[0-9]+ bytes"),
    "the last tile one byte too long": (forged(lengths=[4, 0, 13, 1, 4, 9]), "truncated"),
    "the last tile one byte too short": (forged(lengths=[4, 0, 13, 1, 4, 7]), "1 bytes follow"),
    "tiles of other lengths, in all right": (
        forged(lengths=[3, 1, 13, 1, 4, 8]),
        "checksum of tile 0",
    ),
    "a chunk of 4 GiB": (forged(chunk(b"ALPH", b"few", length=MOST)), "truncated"),
    "an ignorable chunk of 4 GiB": (forged(chunk(b"text", b"few", length=MOST)), "truncated"),
    "a chunk as long as the rest": (forged(chunk(b"ALPH", b"", length=30)), "truncated"),
    "a chunk one byte too short": (forged(chunk(b"ALPH", b"few", length=2)), "1 bytes follow"),
    "chunks that are not there": (forged(num_chunks=1), "truncated"),
    "255 chunks that are not there": (forged(*CHUNKS, num_chunks=255), "truncated"),
    "a chunk that is not counted": (forged(*CHUNKS, num_chunks=3), "24 bytes follow"),
    "the same chunk twice": (forged(*CHUNKS, CHUNKS[0]), "iccp appears twice"),
    "alpha twice": (forged(CHUNKS[3], CHUNKS[3]), "ALPH appears twice"),
    "two files in one": (forged() + forged(), f"{len(forged())} bytes follow"),
    "no filters": (forged(filters=0), "number of filters 0"),
    "no rows": (forged(height=0), "image height 0"),
    "no columns": (forged(width=0), "image width 0"),
}


@pytest.mark.parametrize(("data", "message"), ABSURD.values(), ids=ABSURD)
def test_absurd_files_are_refused_with_little_work_and_memory(data: bytes, message: str) -> None:
    def read() -> None:
        with pytest.raises(BitstreamError, match=message):
            container.read(data)

    tracemalloc.start()
    read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    lines = lines_run(read)
    assert peak < 2**20
    assert lines < 10_000


def readable(candidates: dict[int, bytes]) -> list[int]:
    """Which of these files can be read; the others must be refused."""
    print(f"{len(candidates)} values tried")
    return [value for value, data in candidates.items() if check_forged(data)]


EVERY_BYTE = range(256)


def test_every_value_of_the_fields_of_the_head() -> None:
    assert readable({value: forged(version=value) for value in EVERY_BYTE}) == [4]
    assert readable({value: forged(kind=value) for value in EVERY_BYTE}) == [0, 1, 2, 3]
    assert readable({value: forged(flags=value) for value in EVERY_BYTE}) == [0, 1, 2, 3]
    assert readable({value: forged(name_length=value) for value in EVERY_BYTE}) == [4]
    assert readable({value: forged(*CHUNKS, num_chunks=value) for value in EVERY_BYTE}) == [4]
    names = {length: forged(name=b"n" * length) for length in EVERY_BYTE}
    assert readable(names) == list(range(1, 25))
    names = {letter: forged(name=bytes([0x41, letter])) for letter in EVERY_BYTE}
    assert readable(names) == list(range(0x20, 0x7F))


@pytest.mark.parametrize("exponent", [0, 1, 3, 21, 32, 63, 64, 255])
def test_sides_of_tiles_beyond_the_limits_are_named(exponent: int) -> None:
    with pytest.raises(BitstreamError, match=f"tile side {2**exponent}: must be from 16 to 1048"):
        read_header(forged(exponent=exponent))


def test_every_side_of_tiles() -> None:
    six = {exponent: forged(exponent=exponent) for exponent in EVERY_BYTE}
    assert readable(six) == [4]
    two = {exponent: forged(exponent=exponent, tiles=TILES[:2]) for exponent in EVERY_BYTE}
    assert readable(two) == [5]
    one = {exponent: forged(exponent=exponent, tiles=TILES[:1]) for exponent in EVERY_BYTE}
    assert readable(one) == list(range(6, 21))


@pytest.mark.parametrize("place", range(4))
def test_every_letter_of_a_tag(place: int) -> None:
    tags = {value: bytearray(b"text") for value in EVERY_BYTE}
    for value, tag in tags.items():
        tag[place] = value
    letters = [value for value in EVERY_BYTE if chr(value).isascii() and chr(value).isalpha()]
    expected = [value for value in letters if place or chr(value).islower()]
    found = readable({value: forged(chunk(bytes(tag), b"?")) for value, tag in tags.items()})
    assert found == expected


def test_files_in_files_are_only_bytes() -> None:
    inner = forged(*CHUNKS)
    for _ in range(100):
        inner = forged(
            chunk(b"ALPH", inner), chunk(b"note", inner[:50]), tiles=[inner] * 2, exponent=5
        )
        if len(inner) > 10**6:
            break
    contents = container.read(inner)
    assert contents.alpha == contents.tiles[0] == contents.tiles[1]
    assert container.read(contents.tiles[0]).header == contents.header


def test_a_large_index_takes_no_more_memory_than_the_file() -> None:
    """Many tiles without a byte: the index is all there is, and it is not made into objects."""
    data = forged(height=2**11, width=2**11, tiles=[b""] * 2**14)
    tracemalloc.start()
    reader = Reader(data)
    reader.verify()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reader.header.num_tiles == 2**14
    assert peak < 5 * len(data)


def test_more_tiles_than_a_reader_takes_are_refused() -> None:
    """Each costs work and memory even if it is empty."""
    with pytest.raises(BitstreamError, match=r"16,512 tiles .* at most 16,384"):
        Reader(forged(height=2**11, width=2**11 + 16, tiles=[b""] * (2**14 + 2**7)))
