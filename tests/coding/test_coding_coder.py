"""The range coder: round trips, lengths, pinned bytes, and what it does with damage."""

import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slimcae.coding.coder import longest_stream
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.tables import SymbolTables, from_counts, from_probabilities
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


def tables_of(*channels: list[int], minimum: list[int] | None = None) -> SymbolTables:
    """Tables of these counts, which begin at symbol 0 unless told otherwise."""
    first = np.array(minimum or [0] * len(channels), np.int32)
    return from_counts(first, [np.array(counts, np.int32) for counts in channels])


def plain(tables: SymbolTables) -> FactorizedModel:
    """A model of one step, with a channel for each table."""
    return FactorizedModel(tables, tables.num_tables)


SCALES = [0.1, 0.5, 2.0, 30.0]
TABLES = laplacian_tables(SCALES)
SYMBOLS = laplacian_symbols(SCALES, 12, 17).astype(np.int16)


@given(arrays(np.int32, (4, 3, 5), elements=st.integers(-32767, 32767)))
def test_any_symbols_come_back(symbols: np.ndarray) -> None:
    coder = plain(TABLES)
    decoded = coder.decode(coder.encode(symbols, 0), symbols.shape, 0)
    np.testing.assert_array_equal(decoded, symbols)
    assert decoded.dtype == np.int16


@pytest.mark.parametrize("shape", [(4, 0, 5), (4, 5, 0), (4, 1, 1), (4, 1, 40), (4, 40, 1)])
def test_every_shape_comes_back(shape: tuple[int, int, int]) -> None:
    symbols = laplacian_symbols(SCALES, *shape[1:]).astype(np.int32)
    coder = plain(TABLES)
    data = coder.encode(symbols, 0)
    assert (data == b"") == (symbols.size == 0)
    np.testing.assert_array_equal(coder.decode(data, shape, 0), symbols)


def test_bytes_are_pinned() -> None:
    """A change of these bytes is a change of the format: see docs/format.md."""
    tables = tables_of([2**22, 2**23, 2**21, 2**21], [TOTAL - 1, 1], minimum=[-1, 3])
    symbols = np.array([[[-1, 0, 1], [0, 2, -900]], [[3, 3, 3], [3, 4, 3]]], np.int32)
    data = plain(tables).encode(symbols, 0)
    assert data.hex(" ", 4) == "ffffff2a f01300d8 80a33163"
    np.testing.assert_array_equal(plain(tables).decode(data, symbols.shape, 0), symbols)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("escapes", [0, 40])
def test_length_is_close_to_the_information_content(scale: float, escapes: int) -> None:
    tables = laplacian_tables([scale] * 3)
    symbols = laplacian_symbols([scale] * 3, 60, 70).astype(np.int16)
    symbols.ravel()[: 7 * escapes : 7] = 20000
    ideal = plain(tables).ideal_bits(symbols, 0) / 8
    assert ideal - 1 <= len(plain(tables).encode(symbols, 0)) <= 1.0001 * ideal + 8


# Counts that strain the coder: few or many, next to 2**24, next to 1, about powers of two.
COUNTS = st.lists(
    st.one_of(
        st.integers(1, 4),
        st.integers(0, 22).map(lambda exponent: 2**exponent + 1),
        st.integers(1, 2**20),
    ),
    min_size=1,
    max_size=6,
).filter(lambda counts: sum(counts) < TOTAL)


@st.composite
def extreme(draw: st.DrawFn) -> tuple[SymbolTables, np.ndarray]:
    """Tables, and symbols that follow one of their rows again and again."""
    channels = []
    for counts in draw(st.lists(COUNTS, min_size=1, max_size=3)):
        counts.insert(draw(st.integers(0, len(counts))), TOTAL - sum(counts))
        channels.append(counts)
    tables = tables_of(*channels)
    row = st.lists(st.integers(-1, 7), min_size=1, max_size=8)
    runs = st.lists(st.tuples(st.integers(-1, 7), st.integers(1, 300)), min_size=1, max_size=4)
    pattern = draw(row | runs.map(lambda pairs: [s for s, n in pairs for _ in range(n)]))
    repeats = draw(st.integers(1, 100))
    line = np.tile(np.array(pattern, np.int16), repeats)
    return tables, np.broadcast_to(line, (len(channels), 1, line.size))


@settings(max_examples=500)
@given(extreme())
def test_no_stream_is_longer_than_promised_or_shorter_than_possible(
    case: tuple[SymbolTables, np.ndarray],
) -> None:
    tables, symbols = case
    coder = plain(tables)
    data = coder.encode(symbols, 0)
    bits = plain(tables).ideal_bits(symbols, 0)
    assert bits < 8 * len(data)
    assert len(data) <= longest_stream(bits, symbols.size)
    np.testing.assert_array_equal(
        coder.decode(data, (len(symbols), 1, symbols.shape[2]), 0), symbols
    )


def test_the_coder_can_lose_much_more_than_its_end() -> None:
    """Why `longest_stream` counts symbols: eight bytes are not all that a stream has on top."""
    tables = tables_of([2**8, 2**9, TOTAL - 2**8 - 2**9 - 1, 1])
    # the first two bring the range near 2**33, then each of the others costs a 256th of it
    symbols = np.array([[([0, 1] + [2] * 260) * 400]])
    bits = plain(tables).ideal_bits(symbols, 0)
    length = len(plain(tables).encode(symbols, 0))
    assert 1.03 * bits / 8 < length <= longest_stream(bits, symbols.size)


def test_length_of_a_tile_like_those_of_photos() -> None:
    scales = list(np.geomspace(0.03, 6, 96))
    tables = laplacian_tables(scales)
    symbols = laplacian_symbols(scales, 64, 64).astype(np.int16)
    bits = plain(tables).ideal_bits(symbols, 0)
    length = len(plain(tables).encode(symbols, 0))
    assert bits / 8 < length < bits / 8 + 8 + 0.0002 / 8 * symbols.size
    assert length <= longest_stream(bits, symbols.size) < 1.01 * length


def test_a_stream_may_be_as_short_as_its_symbols_allow() -> None:
    """31.994 bits in 32: as near to the limit as a stream gets, and not refused."""
    tables = tables_of([256, TOTAL - 256], [257, TOTAL - 257])
    coder = plain(tables)
    symbols = np.zeros((2, 1, 1), np.int16)
    data = coder.encode(symbols, 0)
    assert len(data) == 4
    assert 31.99 < plain(tables).ideal_bits(symbols, 0) < 32
    np.testing.assert_array_equal(coder.decode(data, (2, 1, 1), 0), symbols)


@pytest.mark.parametrize(
    ("channels", "bits"),
    [
        ([[2**23, 2**23]], 1.0),
        ([[2**16, TOTAL - 2**16]], 8.0),
        ([[1, TOTAL - 1]], 15.99999991),  # the escape is nearly free, the value behind it is not
        ([[2**23, 2**23], [2**22, 2**22, 2**22, 2**22]], 1.0 + 2.0),
        ([[2**20, TOTAL - 2**20 - 1, 1], [2**10] * 2**14], 0.0931095 + 14),
    ],
)
@pytest.mark.parametrize("length", [4, 400])
def test_more_symbols_than_the_bytes_can_hold_are_refused(
    channels: list[list[int]], bits: float, length: int
) -> None:
    coder = plain(tables_of(*channels))
    most = int((8 * length + 1) / bits)
    assert "cannot hold" not in error_of(coder, bytes(length), (len(channels), 1, most))
    with pytest.raises(BitstreamError, match=f"^{length} bytes cannot hold [0-9]+ coded symbols$"):
        coder.decode(bytes(length), (len(channels), most + 1, 1), 0)


def error_of(coder: FactorizedModel, data: bytes, shape: tuple[int, int, int]) -> str:
    """What decoding says, nothing if it succeeds."""
    try:
        coder.decode(data, shape, 0)
    except BitstreamError as error:
        return str(error)
    return ""


def test_the_refusal_comes_before_any_work() -> None:
    coder = plain(TABLES)
    tracemalloc.start()
    with pytest.raises(BitstreamError, match="4096 bytes cannot hold"):
        coder.decode(bytes(4096), (4, 2**20, 2**20), 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**16


@pytest.mark.parametrize("length", [1, 2, 3, 5, 4097])
def test_a_stream_is_whole_words(length: int) -> None:
    with pytest.raises(BitstreamError, match="multiple of 4"):
        plain(TABLES).decode(bytes(length), (4, 2, 3), 0)


def test_symbols_of_other_integer_types_and_layouts_are_the_same() -> None:
    coder = plain(TABLES)
    expected = coder.encode(SYMBOLS, 0)
    for other in (np.int32, np.int64, ">i2"):
        assert coder.encode(SYMBOLS.astype(other), 0) == expected
    unsigned = coder.encode(abs(SYMBOLS), 0)
    for another in (np.uint8, np.uint16, np.uint64):
        assert coder.encode(abs(SYMBOLS).astype(another), 0) == unsigned
    assert coder.encode(np.asfortranarray(SYMBOLS), 0) == expected
    assert coder.encode(SYMBOLS[:, ::-1][:, ::-1], 0) == expected


def test_encoding_leaves_the_symbols_alone() -> None:
    symbols = SYMBOLS.copy()
    plain(TABLES).encode(symbols, 0)
    np.testing.assert_array_equal(symbols, SYMBOLS)


@pytest.mark.parametrize(
    ("symbol", "dtype"),
    [
        (-32768, np.int16),
        (32768, np.uint16),
        (-(2**31), np.int32),
        (2**31 - 1, np.int32),
        (-(2**63), np.int64),
        (2**64 - 1, np.uint64),
    ],
)
def test_symbols_beyond_the_limit_are_refused(symbol: int, dtype: type) -> None:
    symbols: np.ndarray = np.abs(SYMBOLS).astype(dtype)
    symbols[1, 2, 3] = symbol
    with pytest.raises(ValueError, match="±32767"):
        plain(TABLES).encode(symbols, 0)


def test_what_are_no_symbols_is_refused() -> None:
    coder = plain(TABLES)
    with pytest.raises(ValueError, match="integers, not float64"):
        coder.encode(np.full((4, 2, 2), np.nan), 0)
    with pytest.raises(ValueError, match="4 channels"):
        coder.encode(SYMBOLS[:3], 0)
    with pytest.raises(ValueError, match="4 channels"):
        coder.encode(SYMBOLS[0], 0)
    with pytest.raises(ValueError, match="4 channels"):
        coder.decode(b"", (3, 2, 2), 0)


def test_data_beyond_the_end_are_refused() -> None:
    coder = plain(TABLES)
    data = coder.encode(SYMBOLS, 0)
    for extra in (bytes(8), b"\xff" * 8, data):
        with pytest.raises(BitstreamError, match="do not end where"):
            coder.decode(data + extra, SYMBOLS.shape, 0)
    with pytest.raises(BitstreamError, match="do not end where"):
        coder.decode(data, (4, 11, 17), 0)
    with pytest.raises(BitstreamError, match="cannot hold 0"):
        coder.decode(bytes(4), (4, 0, 17), 0)


def test_missing_data_never_pass_for_the_symbols() -> None:
    coder = plain(TABLES)
    data = coder.encode(SYMBOLS, 0)
    refused = 0
    for length in range(len(data)):
        try:
            symbols = coder.decode(data[:length], SYMBOLS.shape, 0)
        except BitstreamError:
            refused += 1
        else:
            assert (symbols != SYMBOLS).any()
    assert refused > 0.9 * len(data)


@settings(max_examples=500)
@given(extreme(), st.binary(max_size=64), st.integers(1, 4), st.integers(1, 9))
def test_arbitrary_bytes_give_symbols_or_a_bitstream_error(
    case: tuple[SymbolTables, np.ndarray], data: bytes, height: int, width: int
) -> None:
    coder = plain(case[0])
    for stream in (data, data[: len(data) // 4 * 4], coder.encode(case[1], 0)[:-4] + data[:4]):
        try:
            symbols = coder.decode(stream, (case[0].num_tables, height, width), 0)
        except BitstreamError:
            continue
        assert symbols.dtype == np.int16
        assert symbols.min() > -32768
        # other bytes may mean the same symbols: those that encode writes of them must
        again = coder.decode(coder.encode(symbols, 0), symbols.shape, 0)
        np.testing.assert_array_equal(again, symbols)


def test_impossible_states_are_a_bitstream_error() -> None:
    """All ones lie above the last quantile, where constriction fails an assertion."""
    with pytest.raises(BitstreamError, match="damaged"):
        plain(TABLES).decode(b"\xff" * 512, SYMBOLS.shape, 0)


def test_an_escaped_value_beyond_the_limit_is_refused() -> None:
    # only the escape is likely; zeros decode to it and to the lowest 16-bit value, -32768
    tables = tables_of([1, TOTAL - 1])
    quantile = 1  # the first one of the escape
    state = ((2**64 - 1) >> 24) * quantile
    words = b"".join(word.to_bytes(4, "little") for word in (state >> 32, state & 0xFFFFFFFF))
    with pytest.raises(BitstreamError, match="beyond ±32767"):
        plain(tables).decode(words, (1, 1, 1), 0)


def test_one_coder_serves_many_threads() -> None:
    coder = plain(TABLES)
    expected = plain(TABLES).encode(SYMBOLS, 0)
    results: list[bool] = []

    def work() -> None:
        data = coder.encode(SYMBOLS, 0)
        same = bool((coder.decode(data, SYMBOLS.shape, 0) == SYMBOLS).all())
        results.append(data == expected and same)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 8
