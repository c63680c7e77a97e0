"""The range coder: round trips, lengths, pinned bytes, and what it does with damage."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slimcae.coding.coder import SymbolCoder
from slimcae.coding.tables import SymbolTables, from_probabilities
from slimcae.errors import BitstreamError

TOTAL = 2**24


def laplacian_tables(scales: list[float]) -> SymbolTables:
    """Tables of zero-centred densities, each cut off where a millionth is left."""
    minimum, masses = [], []
    for scale in scales:
        reach = int(np.ceil(14 * scale))
        mass = np.exp(-np.abs(np.arange(-reach, reach + 1)) / scale)
        minimum.append(-reach)
        masses.append(mass / mass.sum() * (1 - 1e-6))
    return from_probabilities(np.array(minimum, np.int32), masses)


def laplacian_symbols(scales: list[float], height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.rint(rng.laplace(0, np.array(scales)[:, None, None], (len(scales), height, width)))


SCALES = [0.1, 0.5, 2.0, 30.0]
TABLES = laplacian_tables(SCALES)
SYMBOLS = laplacian_symbols(SCALES, 12, 17).astype(np.int32)


@given(arrays(np.int32, (4, 3, 5), elements=st.integers(-32767, 32767)))
def test_any_symbols_come_back(symbols: np.ndarray) -> None:
    coder = SymbolCoder(TABLES)
    decoded = coder.decode(coder.encode(symbols), symbols.shape)
    np.testing.assert_array_equal(decoded, symbols)
    assert decoded.dtype == np.int32


@pytest.mark.parametrize("shape", [(4, 0, 5), (4, 5, 0), (4, 1, 1), (4, 1, 40), (4, 40, 1)])
def test_every_shape_comes_back(shape: tuple[int, int, int]) -> None:
    symbols = laplacian_symbols(SCALES, *shape[1:]).astype(np.int32)
    coder = SymbolCoder(TABLES)
    data = coder.encode(symbols)
    assert (data == b"") == (symbols.size == 0)
    np.testing.assert_array_equal(coder.decode(data, shape), symbols)


def test_bytes_are_pinned() -> None:
    """A change of these bytes is a change of the format: see docs/format.md."""
    tables = SymbolTables(
        np.array([-1, 3], np.int32),
        (np.array([2**22, 2**23, 2**21, 2**21], np.int32), np.array([TOTAL - 1, 1], np.int32)),
    )
    symbols = np.array([[[-1, 0, 1], [0, 2, -900]], [[3, 3, 3], [3, 4, 3]]], np.int32)
    data = SymbolCoder(tables).encode(symbols)
    assert data.hex(" ", 4) == "1300fc2a ff80ebdf 08a000dc"
    np.testing.assert_array_equal(SymbolCoder(tables).decode(data, symbols.shape), symbols)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("escapes", [0, 40])
def test_length_is_close_to_the_information_content(scale: float, escapes: int) -> None:
    tables = laplacian_tables([scale] * 3)
    symbols = laplacian_symbols([scale] * 3, 60, 70).astype(np.int32)
    symbols.ravel()[: 7 * escapes : 7] = 20000
    ideal = tables.ideal_bits(symbols) / 8
    assert ideal - 1 <= len(SymbolCoder(tables).encode(symbols)) <= 1.0001 * ideal + 8


def test_symbols_of_other_integer_types_and_layouts_are_the_same() -> None:
    coder = SymbolCoder(TABLES)
    expected = coder.encode(SYMBOLS)
    assert coder.encode(SYMBOLS.astype(np.int64)) == expected
    assert coder.encode(np.asfortranarray(SYMBOLS)) == expected
    assert coder.encode(SYMBOLS[:, ::-1][:, ::-1]) == expected


def test_encoding_leaves_the_symbols_alone() -> None:
    symbols = SYMBOLS.copy()
    SymbolCoder(TABLES).encode(symbols)
    np.testing.assert_array_equal(symbols, SYMBOLS)


@pytest.mark.parametrize("symbol", [-32768, 32768, -(2**31), 2**31 - 1])
def test_symbols_beyond_the_limit_are_refused(symbol: int) -> None:
    symbols = SYMBOLS.copy()
    symbols[1, 2, 3] = symbol
    with pytest.raises(ValueError, match="±32767"):
        SymbolCoder(TABLES).encode(symbols)


def test_what_are_no_symbols_is_refused() -> None:
    coder = SymbolCoder(TABLES)
    with pytest.raises(ValueError, match="integers, not float64"):
        coder.encode(np.full((4, 2, 2), np.nan))
    with pytest.raises(ValueError, match="4 channels"):
        coder.encode(SYMBOLS[:3])
    with pytest.raises(ValueError, match="4 channels"):
        coder.encode(SYMBOLS[0])
    with pytest.raises(ValueError, match="4 channels"):
        coder.decode(b"", (3, 2, 2))


def test_data_beyond_the_end_are_refused() -> None:
    coder = SymbolCoder(TABLES)
    data = coder.encode(SYMBOLS)
    for extra in (bytes(8), b"\xff" * 8, data):
        with pytest.raises(BitstreamError, match="do not end where"):
            coder.decode(data + extra, SYMBOLS.shape)
    with pytest.raises(BitstreamError, match="do not end where"):
        coder.decode(data, (4, 11, 17))
    with pytest.raises(BitstreamError, match="cannot hold 0"):
        coder.decode(bytes(4), (4, 0, 17))


def test_missing_data_never_pass_for_the_symbols() -> None:
    coder = SymbolCoder(TABLES)
    data = coder.encode(SYMBOLS)
    refused = 0
    for length in range(len(data)):
        try:
            symbols = coder.decode(data[:length], SYMBOLS.shape)
        except BitstreamError:
            refused += 1
        else:
            assert (symbols != SYMBOLS).any()
    assert refused > 0.9 * len(data)


@settings(max_examples=300)
@given(st.binary(max_size=64))
def test_arbitrary_bytes_give_symbols_or_a_bitstream_error(data: bytes) -> None:
    try:
        symbols = SymbolCoder(TABLES).decode(data, (4, 2, 3))
    except BitstreamError:
        return
    assert np.abs(symbols).max() <= 32767


def test_impossible_states_are_a_bitstream_error() -> None:
    """All ones lie above the last quantile, where constriction fails an assertion."""
    with pytest.raises(BitstreamError, match="damaged"):
        SymbolCoder(TABLES).decode(b"\xff" * 64, SYMBOLS.shape)


def test_an_escaped_value_beyond_the_limit_is_refused() -> None:
    # only the escape is likely; zeros decode to it and to the lowest 16-bit value, -32768
    tables = SymbolTables(np.zeros(1, np.int32), (np.array([1, TOTAL - 1], np.int32),))
    quantile = 1  # the first one of the escape
    state = ((2**64 - 1) >> 24) * quantile
    words = b"".join(word.to_bytes(4, "little") for word in (state >> 32, state & 0xFFFFFFFF))
    with pytest.raises(BitstreamError, match="beyond ±32767"):
        SymbolCoder(tables).decode(words, (1, 1, 1))


def test_one_coder_serves_many_threads() -> None:
    coder = SymbolCoder(TABLES)
    expected = SymbolCoder(TABLES).encode(SYMBOLS)
    results: list[bool] = []

    def work() -> None:
        data = coder.encode(SYMBOLS)
        same = bool((coder.decode(data, SYMBOLS.shape) == SYMBOLS).all())
        results.append(data == expected and same)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 8
