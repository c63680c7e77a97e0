"""The fast coder and container against the slow decoder written from docs/format.md."""

import re
from pathlib import Path

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_decoder import DamagedError, RangeDecoder, decode_file, decode_symbols
from slimcae import container
from slimcae.coding.coder import SymbolCoder
from slimcae.coding.tables import TOTAL, SymbolTables
from slimcae.errors import BitstreamError


def random_counts(rng: np.random.Generator, size: int, concentration: float) -> np.ndarray:
    """Counts that sum to 2**24; many of them 1 if the concentration is small."""
    shares = rng.dirichlet(np.full(size, concentration))
    counts = 1 + np.floor(shares * (TOTAL - size)).astype(np.int32)
    counts[np.argmax(counts)] += TOTAL - counts.sum()
    return np.asarray(counts, np.int32)


def slow(data: bytes, tables: SymbolTables, shape: tuple[int, int, int]) -> np.ndarray:
    pairs = [
        (int(first), counts.tolist())
        for first, counts in zip(tables.minimum, tables.counts, strict=True)
    ]
    return np.array(decode_symbols(data, pairs, *shape[1:]), np.int32).reshape(shape)


@pytest.mark.parametrize("size", [2, 3, 7, 100, 3000])
@pytest.mark.parametrize("concentration", [0.005, 1.0])
def test_constriction_uses_exactly_our_table(size: int, concentration: float) -> None:
    """Words crafted to fall just below and just onto every boundary between two symbols."""
    counts = random_counts(np.random.default_rng(size), size, concentration)
    tables = SymbolTables(np.zeros(1, np.int32), (counts,))
    coder = SymbolCoder(tables)
    scale = (2**64 - 1) >> 24
    for entry, boundary in enumerate(np.cumsum(counts.astype(np.int64))[:-1].tolist()):
        for quantile, expected in ((boundary - 1, entry), (boundary, entry + 1)):
            # the first and the last state of the decoder that belong to this quantile
            for state in (scale * quantile, scale * (quantile + 1) - 1):
                data = state >> 32, state & 0xFFFFFFFF
                words = b"".join(word.to_bytes(4, "little") for word in data)
                assert RangeDecoder(words).decode(counts.tolist()) == expected
                fast = constriction.stream.queue.RangeDecoder(np.array(data, np.uint32))
                assert fast.decode(coder._models[0]) == expected


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 4),
    height=st.integers(0, 6),
    width=st.integers(0, 6),
    size=st.sampled_from([2, 3, 40, 900]),
    concentration=st.sampled_from([0.01, 0.3, 10.0]),
    spread=st.sampled_from([2, 60, 32767]),
)
def test_both_decoders_agree(
    seed: int,
    channels: int,
    height: int,
    width: int,
    size: int,
    concentration: float,
    spread: int,
) -> None:
    rng = np.random.default_rng(seed)
    counts = tuple(random_counts(rng, size, concentration) for _ in range(channels))
    minimum = rng.integers(-spread, 1, channels).clip(-32767, 32767 - size + 2).astype(np.int32)
    tables = SymbolTables(minimum, counts)
    shape = (channels, height, width)
    symbols = rng.integers(-spread, spread + 1, shape).astype(np.int32)
    coder = SymbolCoder(tables)
    data = coder.encode(symbols)
    np.testing.assert_array_equal(coder.decode(data, shape), symbols)
    np.testing.assert_array_equal(slow(data, tables, shape), symbols)


@pytest.mark.parametrize("symbol", [0, 1])
def test_both_decoders_agree_on_long_runs_that_cost_almost_nothing(symbol: int) -> None:
    """Words come rarely, carries may wait long, and the end is decided by few bits."""
    counts = np.array([TOTAL - 3, 2, 1], np.int32)
    tables = SymbolTables(np.zeros(1, np.int32), (counts,))
    symbols = np.zeros((1, 100, 150), np.int32)
    symbols[0, 50, 60] = symbol
    coder = SymbolCoder(tables)
    data = coder.encode(symbols)
    assert len(data) <= 8
    np.testing.assert_array_equal(coder.decode(data, symbols.shape), symbols)
    np.testing.assert_array_equal(slow(data, tables, symbols.shape), symbols)


def test_both_decoders_agree_on_the_last_quantile_of_every_table() -> None:
    """The top of the range, where carries run through words of ones."""
    counts = np.array([1, TOTAL - 2, 1], np.int32)
    tables = SymbolTables(np.zeros(1, np.int32), (counts,))
    symbols = np.ones((1, 40, 40), np.int32)
    symbols[0, ::7, ::3] = 5  # escapes
    coder = SymbolCoder(tables)
    data = coder.encode(symbols)
    np.testing.assert_array_equal(coder.decode(data, symbols.shape), symbols)
    np.testing.assert_array_equal(slow(data, tables, symbols.shape), symbols)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=40), seed=st.integers(0, 20))
def test_both_decoders_agree_on_arbitrary_bytes(data: bytes, seed: int) -> None:
    """What the fast decoder accepts, the slow one decodes alike; what it refuses, so does that.

    The fast one cannot see how far beyond the end it has read, so it may accept more.
    """
    rng = np.random.default_rng(seed)
    tables = SymbolTables(
        np.array([-3, 0], np.int32),
        (random_counts(rng, 8, 0.5), random_counts(rng, 2, 5.0)),
    )
    shape = (2, 1, 1 + seed % 5)
    try:
        reference = slow(data, tables, shape)
    except DamagedError:
        reference = None
    try:
        symbols = SymbolCoder(tables).decode(data, shape)
    except BitstreamError:
        assert reference is None
    else:
        if reference is not None:
            np.testing.assert_array_equal(symbols, reference)


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(1, 2**32 - 1),
    width=st.integers(1, 2**32 - 1),
    num_filters=st.integers(1, 2**16 - 1),
    step=st.integers(0, 255),
    grey=st.booleans(),
    name=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=32),
    fingerprint=st.binary(min_size=8, max_size=8),
    latents=st.binary(max_size=50),
    alpha=st.none() | st.binary(max_size=50),
    profile=st.none() | st.binary(min_size=1, max_size=50),
)
def test_both_readers_agree_on_files(
    height: int,
    width: int,
    num_filters: int,
    step: int,
    grey: bool,
    name: str,
    fingerprint: bytes,
    latents: bytes,
    alpha: bytes | None,
    profile: bytes | None,
) -> None:
    header = container.Header(
        image_height=height,
        image_width=width,
        grey=grey,
        num_filters=num_filters,
        step=step,
        model_name=name,
        model_fingerprint=fingerprint,
    )
    contents = container.Contents(header, latents, alpha, profile)
    data = container.write(contents)
    assert container.read(data) == contents
    assert container.read_header(data[: container.MAX_HEADER_BYTES]) == header
    file = decode_file(data)
    assert (file.height, file.width, file.grey) == (height, width, grey)
    assert (file.num_filters, file.step, file.model_name) == (num_filters, step, name)
    assert file.fingerprint == fingerprint
    assert file.chunks["LATN"] == latents
    assert file.chunks.get("ALPH") == alpha
    assert ("iccp" in file.chunks) == (profile is not None)


def test_the_example_of_the_document() -> None:
    document = Path(__file__).parents[1] / "docs" / "format.md"
    example = document.read_text(encoding="utf-8").split("## Example")[1]
    data = bytes.fromhex("".join(re.findall(r"^    ([0-9a-f ]+)$", example, re.MULTILINE)))
    tables = SymbolTables(
        np.array([-1, 3], np.int32),
        (
            np.array([4194304, 8388608, 2097152, 2097152], np.int32),
            np.array([16777215, 1], np.int32),
        ),
    )
    symbols = np.array([[[-1, 0, 1], [0, 2, -900]], [[3, 3, 3], [3, 4, 3]]], np.int32)
    file = decode_file(data)
    assert (file.height, file.width, file.num_filters, file.model_name) == (20, 33, 2, "example")
    np.testing.assert_array_equal(slow(file.chunks["LATN"], tables, symbols.shape), symbols)
    contents = container.read(data)
    assert contents.header.model_fingerprint == bytes.fromhex("0011223344556677")
    np.testing.assert_array_equal(
        SymbolCoder(tables).decode(contents.latents, symbols.shape), symbols
    )
    assert container.write(contents) == data
