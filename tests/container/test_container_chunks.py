"""Chunks: their framing, and metadata that are damaged, empty, too large or bombs."""

import logging
import tracemalloc
import zlib

import pytest
from container_files import HEADER, PLAIN, PROFILE, TILES, chunk, forged
from hypothesis import given
from hypothesis import strategies as st

from slimcae import container
from slimcae.container import Contents
from slimcae.container.chunks import MAX_INFLATED_BYTES, pack_chunk
from slimcae.errors import BitstreamError

TAGS = [(b"iccp", "ICC profile"), (b"exif", "EXIF data"), (b"xmpp", "XMP data")]


def test_every_byte_has_its_place() -> None:
    assert pack_chunk(b"ALPH", b"alpha as PNG") == bytes.fromhex(
        "41 4c 50 48"  # ALPH
        "0c 00 00 00"  # length
        "9b 43 f0 66"  # CRC32 of tag, length and payload
        "61 6c 70 68 61 20 61 73 20 50 4e 47"
    )


@given(st.binary(max_size=100))
def test_checksums_cover_tag_length_and_payload(payload: bytes) -> None:
    assert pack_chunk(b"ALPH", payload) == chunk(b"ALPH", payload)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            forged(chunk(b"Text", b"")),
            r"Text \(format version 4\).* slimcae [0-9.]+ \(format version 4\) knows ALPH and OPAC",
        ),
        (forged(chunk(b"LATN", b"version 1")), "needs chunk LATN"),
        (forged(chunk(b"ALPH", b""), chunk(b"ALPH", b"")), "chunk ALPH appears twice"),
        (forged(chunk(b"text", b"1"), chunk(b"text", b"2")), "chunk text appears twice"),
        (forged(chunk(b"ICC\0", b"")), r"tag is b'ICC\\x00', not four letters"),
        (forged(chunk(b"i\xc3\xa4p", b"")), "not four letters"),
        (forged(chunk(b"ic p", b"")), "not four letters"),
    ],
)
def test_chunks_that_no_reader_may_accept_are_refused_on_opening(data: bytes, message: str) -> None:
    for attempt in (container.Reader, container.read):
        with pytest.raises(BitstreamError, match=message):
            attempt(data)


def test_unknown_chunks_are_skipped_if_they_may_be() -> None:
    assert container.read(forged(chunk(b"text", b"a note"))) == PLAIN
    assert container.read(forged(chunk(b"teXT", b""), chunk(b"note", bytes(1000)))) == PLAIN


def test_255_chunks_are_read() -> None:
    tags = [bytes([97 + i // 26, 97 + i % 26, 97, 97]) for i in range(254)]
    data = forged(*(chunk(tag, tag) for tag in tags), chunk(b"ALPH", b"alpha"))
    assert container.read(data) == Contents(HEADER, TILES, alpha=b"alpha")


@pytest.mark.parametrize(("tag", "name"), TAGS)
@pytest.mark.parametrize(
    "payload",
    [
        b"no zlib",
        b"",
        zlib.compress(b""),
        zlib.compress(PROFILE)[:-5],
        zlib.compress(PROFILE)[:-4] + b"\0\0\0\0",
        zlib.compress(PROFILE) + b"more",
        zlib.compress(bytes(MAX_INFLATED_BYTES + 1)),
    ],
    ids=["foreign", "nothing", "empty", "truncated", "checksum", "followed", "too-large"],
)
def test_bad_metadata_cost_only_themselves(
    tag: bytes, name: str, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert container.read(forged(chunk(tag, payload))) == PLAIN
    assert caplog.record_tuples == [
        ("slimcae", logging.WARNING, f"left out, damaged: the file's {name}")
    ]


def bomb() -> bytes:
    """4 GiB of zeros in 4 MB: the same deflate block again and again."""
    deflater = zlib.compressobj(9)
    parts = [deflater.compress(bytes(2**24)) + deflater.flush(zlib.Z_FULL_FLUSH)]
    parts += [deflater.compress(bytes(2**24)) + deflater.flush(zlib.Z_FULL_FLUSH)]
    return parts[0] + 255 * parts[1]


@pytest.mark.parametrize(("tag", "name"), TAGS)
def test_a_bomb_is_not_inflated(tag: bytes, name: str, caplog: pytest.LogCaptureFixture) -> None:
    data = forged(chunk(tag, bomb()))
    tracemalloc.start()
    assert container.read(data) == PLAIN
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MAX_INFLATED_BYTES
    assert f"left out, damaged: the file's {name}" in caplog.text


@pytest.mark.parametrize("fill", [b"\0", bytes(range(256))])
def test_16_mib_of_metadata_are_kept_and_no_byte_more(
    fill: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    largest = fill * (MAX_INFLATED_BYTES // len(fill))
    contents = Contents(HEADER, TILES, icc_profile=largest, xmp=largest)
    assert container.read(container.write(contents)) == contents
    assert not caplog.records
    data = container.write(Contents(HEADER, TILES, PROFILE, largest + b"1", xmp=largest + b"1"))
    assert container.read(data) == Contents(HEADER, TILES, PROFILE)
    assert caplog.messages == [
        f"left out, beyond 16777216 bytes: {name} (16777217)"
        for name in ("ICC profile", "XMP data")
    ]
