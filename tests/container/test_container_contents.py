"""Whole files: every byte's place, order of chunks, damage and forgery."""

import logging
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimcae import container
from slimcae.container import Contents, Header
from slimcae.container.contents import MAX_ICC_BYTES
from slimcae.errors import BitstreamError

HEADER = Header(
    image_height=2,
    image_width=3,
    grey=False,
    num_filters=96,
    step=0,
    model_name="tiny",
    model_fingerprint=b"\x01\x02\x03\x04\x05\x06\x07\x08",
)
PROFILE = b"a profile, a profile, a profile"
FULL = Contents(HEADER, latents=b"symbols!", alpha=b"alpha as PNG", icc_profile=PROFILE)
LATENTS = bytes.fromhex(
    "4c 41 54 4e"  # LATN
    "08 00 00 00"  # length
    "c9 b5 63 0f"  # CRC32 of tag, length and payload
    "73 79 6d 62 6f 6c 73 21"
)
ALPHA = bytes.fromhex(
    "41 4c 50 48"  # ALPH
    "0c 00 00 00"
    "9b 43 f0 66"
    "61 6c 70 68 61 20 61 73 20 50 4e 47"
)


def chunk(tag: bytes, payload: bytes, length: int | None = None) -> bytes:
    """A chunk with a correct checksum, whatever it says."""
    head = tag + (len(payload) if length is None else length).to_bytes(4, "little")
    return head + zlib.crc32(head + payload).to_bytes(4, "little") + payload


def forged(*chunks: bytes) -> bytes:
    return bytes(HEADER) + b"".join(chunks)


def test_every_byte_has_its_place() -> None:
    assert container.write(Contents(HEADER, b"symbols!")) == bytes(HEADER) + LATENTS
    assert container.read(bytes(HEADER) + LATENTS) == Contents(HEADER, b"symbols!")


def test_chunks_stand_in_order_and_the_latents_last() -> None:
    profile = chunk(b"iccp", zlib.compress(PROFILE, 9))
    assert container.write(FULL) == bytes(HEADER) + profile + ALPHA + LATENTS
    assert container.read(bytes(HEADER) + profile + ALPHA + LATENTS) == FULL
    assert container.read(bytes(HEADER) + ALPHA + profile + LATENTS) == FULL


def test_header_and_framing_of_a_plain_file_are_54_bytes() -> None:
    header = Header(1, 1, False, 192, 0, "slimcae-2026", bytes(8))
    assert len(container.write(Contents(header, b""))) == 54


@given(
    latents=st.binary(max_size=100),
    alpha=st.none() | st.binary(max_size=100),
    profile=st.none() | st.binary(min_size=1, max_size=100),
)
def test_any_contents_come_back(latents: bytes, alpha: bytes | None, profile: bytes | None) -> None:
    contents = Contents(HEADER, latents, alpha, profile)
    assert container.read(container.write(contents)) == contents


def test_every_truncation_and_every_extension_is_refused() -> None:
    data = container.write(FULL)
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            container.read(data[:length])
    for extra in (b"\0", b"LATN", data, LATENTS, chunk(b"text", b"")):
        with pytest.raises(BitstreamError):
            container.read(data + extra)


def test_every_flipped_bit_is_refused() -> None:
    data = container.write(FULL)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(BitstreamError):
                container.read(bytes(damaged))


@given(st.binary(max_size=80))
def test_arbitrary_bytes_behind_a_header_are_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError):
        container.read(bytes(HEADER) + data)


def test_unknown_chunks_are_skipped_if_they_may_be() -> None:
    plain = Contents(HEADER, b"symbols!")
    assert container.read(forged(chunk(b"text", b"a note"), LATENTS)) == plain
    with pytest.raises(BitstreamError, match="needs chunk Text, which this slimcae"):
        container.read(forged(chunk(b"Text", b"a note"), LATENTS))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (forged(), "latents are missing"),
        (forged(ALPHA), "latents are missing"),
        (forged(ALPHA, ALPHA, LATENTS), "chunk ALPH appears twice"),
        (forged(chunk(b"text", b""), chunk(b"text", b""), LATENTS), "chunk text appears twice"),
        (forged(LATENTS, ALPHA), "chunk ALPH follows the latents"),
        (forged(LATENTS, LATENTS), "chunk LATN follows the latents"),
        (forged(chunk(b"LAT\0", b""), LATENTS), "not four letters"),
        (forged(chunk(b"L\xc3\xa4T", b""), LATENTS), "not four letters"),
        (forged(chunk(b"LATN", b"few", length=2**32 - 1)), "should have 4294967295 bytes, 3 are"),
    ],
)
def test_forged_chunks_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(BitstreamError, match=message):
        container.read(data)


def test_a_declared_length_is_not_allocated() -> None:
    data = forged(chunk(b"LATN", b"few", length=2**32 - 1))
    tracemalloc.start()
    with pytest.raises(BitstreamError):
        container.read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize(
    "payload",
    [
        b"no zlib",
        b"",
        zlib.compress(b""),
        zlib.compress(PROFILE)[:-5],
        zlib.compress(PROFILE) + b"more",
        zlib.compress(bytes(MAX_ICC_BYTES + 1)),
    ],
    ids=["foreign", "nothing", "empty", "truncated", "followed", "bomb"],
)
def test_a_bad_profile_costs_only_itself(payload: bytes, caplog: pytest.LogCaptureFixture) -> None:
    contents = container.read(forged(chunk(b"iccp", payload), LATENTS))
    assert contents == Contents(HEADER, b"symbols!")
    assert caplog.record_tuples == [
        ("slimcae", logging.WARNING, "the file's ICC profile is damaged and was left out")
    ]


def test_a_profile_too_large_to_be_read_back_is_not_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    largest = Contents(HEADER, b"", icc_profile=bytes(MAX_ICC_BYTES))
    assert container.read(container.write(largest)) == largest
    assert not caplog.records
    data = container.write(Contents(HEADER, b"", icc_profile=bytes(MAX_ICC_BYTES + 1)))
    assert container.read(data).icc_profile is None
    assert "too large" in caplog.text
