"""Test the fast decoder against the slow ones written from docs/format.md.

Both must take the same files and refuse the same, with one exception that the document names: the
fast coder cannot see how far beyond a stream's end it has read, so it may accept more streams.
"""

import re
import zlib
from pathlib import Path

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context_networks import random_arrays, random_symbols
from hyperpriors import random_hyperprior
from optional_torch import SlimCAE, to_model, torch
from reference_decoder import (
    KINDS,
    Arrays,
    Coded,
    DamagedError,
    File,
    RangeDecoder,
    activity,
    decode_file,
    decode_planes,
    decode_symbols,
    metadata,
)
from reference_model import Model as SlowModel
from slimcae import container
from slimcae.codec import Codec
from slimcae.codec.decoding import decode_symbols as decode_symbols_fast
from slimcae.coding.activity import TablesModel
from slimcae.coding.context import ContextModel
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.entropy_models import by_kind, entropy_model_of
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.hyperprior import HyperpriorModel
from slimcae.coding.tables import TOTAL, SymbolTables, from_counts
from slimcae.container.header import ENTROPY_MODELS, Head
from slimcae.errors import BitstreamError
from slimcae.model.config import GDNVariant, SlimCAEConfig
from slimcae.model.file import halved, read_model, write_model
from slimcae.model.model import Model

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "docs" / "format.md"
GOLDEN_FILES = sorted((TESTS / "data" / "golden" / "scae").glob("*.scae"))


def random_counts(rng: np.random.Generator, size: int, concentration: float) -> np.ndarray:
    """Return counts that sum to 2**24; many are 1 if the concentration is small."""
    shares = rng.dirichlet(np.full(size, concentration))
    counts = 1 + np.floor(shares * (TOTAL - size)).astype(np.int32)
    counts[np.argmax(counts)] += TOTAL - counts.sum()
    return np.asarray(counts, np.int32)


def plain(tables: SymbolTables) -> FactorizedModel:
    """Return a model of one step, with a channel for each table."""
    return FactorizedModel(tables, tables.num_tables)


def nested(model: EntropyModel) -> Arrays:
    return {name: array.tolist() for name, array in model.to_arrays().items()}


def slow(
    data: bytes, model: EntropyModel, shape: tuple[int, int, int], step: int = 0
) -> np.ndarray:
    slow_model = KINDS[model.kind](nested(model), step)
    planes = decode_symbols(data, slow_model, *shape[1:])
    return np.array(planes, np.int32).reshape(shape)


@pytest.mark.parametrize("size", [2, 3, 7, 100, 3000])
@pytest.mark.parametrize("concentration", [0.005, 1.0])
def test_constriction_uses_exactly_our_table(size: int, concentration: float) -> None:
    """Make words just below and just at every boundary between two symbols."""
    counts = random_counts(np.random.default_rng(size), size, concentration)
    tables = from_counts(np.zeros(1, np.int32), (counts,))
    coder = plain(tables)
    scale = (2**64 - 1) >> 24
    ends = np.cumsum(counts.astype(np.int64)).tolist()
    for entry, boundary in enumerate(ends[:-1]):
        for quantile, expected in ((boundary - 1, entry), (boundary, entry + 1)):
            # the first and the last state of the decoder that belong to this quantile
            for state in (scale * quantile, scale * (quantile + 1) - 1):
                data = state >> 32, state & 0xFFFFFFFF
                words = b"".join(word.to_bytes(4, "little") for word in data)
                assert RangeDecoder(words).decode(ends) == expected
                fast = constriction.stream.queue.RangeDecoder(np.array(data, np.uint32))
                assert fast.decode(coder._ready.model(0)) == expected


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 4),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
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
    tables = from_counts(minimum, counts)
    shape = (channels, height, width)
    symbols = rng.integers(-spread, spread + 1, shape).astype(np.int32)
    coder = plain(tables)
    data = coder.encode(symbols, 0)
    np.testing.assert_array_equal(coder.decode(data, shape, 0), symbols)
    np.testing.assert_array_equal(slow(data, plain(tables), shape), symbols)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    groups=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    classes=st.integers(1, 4),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    spread=st.sampled_from([1, 4, 32767]),
)
def test_both_decoders_agree_with_classes(
    seed: int, groups: list[int], classes: int, height: int, width: int, spread: int
) -> None:
    rng = np.random.default_rng(seed)
    minimum = rng.integers(-4, 1, 5).astype(np.int32)
    tables = from_counts(minimum, [random_counts(rng, size, 1.0) for size in (2, 3, 5, 9, 9)])
    shape = (sum(groups), height, width)
    # tables that no channel chooses are not in a model
    thresholds = np.sort(rng.integers(0, 30, (2, len(groups), classes - 1)), axis=2)
    choice = rng.integers(0, 5, (2, shape[0], classes)).astype(np.int32)
    used = np.unique(choice)
    kept = [tables.of(int(table)) for table in used]
    coder = TablesModel(
        from_counts(minimum[used], kept),
        tuple(groups),
        thresholds.astype(np.int32),
        np.searchsorted(used, choice).astype(np.int32),
    )
    symbols = rng.integers(-spread, spread + 1, shape).astype(np.int32)
    data = coder.encode(symbols, 0)
    np.testing.assert_array_equal(coder.decode(data, shape, 0), symbols)
    np.testing.assert_array_equal(slow(data, coder, shape), symbols)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    groups=st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple),
    hidden=st.integers(1, 9),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    step=st.integers(0, 2),
)
def test_both_decoders_agree_with_context_networks(
    seed: int, groups: tuple[int, ...], hidden: int, height: int, width: int, step: int
) -> None:
    coder = ContextModel.from_arrays(random_arrays(seed, groups, hidden))
    symbols = random_symbols(seed, (sum(groups), height, width))
    data = coder.encode(symbols, step)
    np.testing.assert_array_equal(coder.decode(data, symbols.shape, step), symbols)
    np.testing.assert_array_equal(slow(data, coder, symbols.shape, step), symbols)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 4),
    hidden=st.tuples(*[st.integers(1, 4)] * 5),
    height=st.integers(1, 9),
    width=st.integers(1, 6),
    step=st.integers(0, 2),
)
def test_both_decoders_agree_with_hyperpriors(
    seed: int, channels: int, hidden: tuple[int, ...], height: int, width: int, step: int
) -> None:
    coder = HyperpriorModel.from_arrays(random_hyperprior(seed, channels, hidden))
    symbols = random_symbols(seed, (channels, height, width))
    data = coder.encode(symbols, step)
    np.testing.assert_array_equal(coder.decode(data, symbols.shape, step), symbols)
    np.testing.assert_array_equal(slow(data, coder, symbols.shape, step), symbols)


@pytest.mark.parametrize("symbol", [0, 1])
def test_both_decoders_agree_on_long_runs_that_cost_almost_nothing(symbol: int) -> None:
    """Words come rarely, carries may wait long, and few bits decide the end."""
    counts = np.array([TOTAL - 3, 2, 1], np.int32)
    tables = from_counts(np.zeros(1, np.int32), (counts,))
    symbols = np.zeros((1, 100, 150), np.int32)
    symbols[0, 50, 60] = symbol
    coder = plain(tables)
    data = coder.encode(symbols, 0)
    assert len(data) <= 8
    np.testing.assert_array_equal(coder.decode(data, symbols.shape, 0), symbols)
    np.testing.assert_array_equal(slow(data, coder, symbols.shape), symbols)


def test_both_decoders_agree_on_the_last_quantile_of_every_table() -> None:
    """At the top of the range, carries run through words of ones."""
    counts = np.array([1, TOTAL - 2, 1], np.int32)
    tables = from_counts(np.zeros(1, np.int32), (counts,))
    symbols = np.ones((1, 40, 40), np.int32)
    symbols[0, ::7, ::3] = 5  # escapes
    coder = plain(tables)
    data = coder.encode(symbols, 0)
    np.testing.assert_array_equal(coder.decode(data, symbols.shape, 0), symbols)
    np.testing.assert_array_equal(slow(data, coder, symbols.shape), symbols)


@settings(max_examples=150)
@given(data=st.binary(max_size=40), seed=st.integers(0, 20))
def test_both_decoders_agree_on_arbitrary_bytes(data: bytes, seed: int) -> None:
    """The slow decoder gives the same symbols or refuses, like the fast one.

    The fast one cannot see how far beyond the end it has read, so it may accept more.
    """
    rng = np.random.default_rng(seed)
    tables = from_counts(
        np.array([-3, 0], np.int32),
        (random_counts(rng, 8, 0.5), random_counts(rng, 2, 5.0)),
    )
    shape = (2, 1, 1 + seed % 5)
    try:
        reference = slow(data, plain(tables), shape)
    except DamagedError:
        reference = None
    try:
        symbols = plain(tables).decode(data, shape, 0)
    except BitstreamError:
        assert reference is None
    else:
        if reference is not None:
            np.testing.assert_array_equal(symbols, reference)


headers = st.builds(
    container.Header,
    image_height=st.integers(1, 200),
    image_width=st.integers(1, 200),
    grey=st.booleans(),
    srgb=st.booleans(),
    num_filters=st.integers(1, 2**16 - 1),
    step=st.integers(0, 255),
    entropy_model=st.sampled_from(ENTROPY_MODELS),
    tile_side=st.sampled_from([2**t for t in range(4, 21)]),
    model_name=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=24),
    model_fingerprint=st.binary(min_size=8, max_size=8),
)
payloads = st.none() | st.binary(min_size=1, max_size=30)


@st.composite
def files(draw: st.DrawFn) -> container.Contents:
    """Return any contents, with streams that need not decode."""
    header = draw(headers)
    streams = st.lists(st.binary(max_size=9), min_size=header.num_tiles, max_size=header.num_tiles)
    alpha, icc, exif, xmp = [draw(payloads) for _ in range(4)]
    level = draw(st.none() | st.integers(0, 255)) if alpha is None else None
    return container.Contents(header, draw(streams), alpha, icc, exif, xmp, level)


def assert_same(file: File, contents: container.Contents) -> None:
    header = contents.header
    assert (file.height, file.width) == (header.image_height, header.image_width)
    assert (file.grey, file.srgb) == (header.grey, header.srgb)
    assert (file.num_filters, file.step) == (header.num_filters, header.step)
    assert file.kind == header.entropy_model
    assert (file.tile_side, file.model_name) == (header.tile_side, header.model_name)
    assert file.fingerprint == header.model_fingerprint
    assert file.tiles == list(contents.tiles)
    assert file.chunks.get("ALPH") == contents.alpha
    assert metadata(file, "iccp") == contents.icc_profile
    assert metadata(file, "xmpp") == contents.xmp
    exif = metadata(file, "exif")
    assert contents.exif == (None if exif is None else b"Exif\0\0" + exif)


def assert_both_agree(data: bytes) -> bool:
    """Return whether both readers accept the data with one result; fail if they disagree."""
    try:
        file = decode_file(data)
    except DamagedError:
        with pytest.raises(BitstreamError):
            container.read(data)
        return False
    assert_same(file, container.read(data))
    return True


@settings(max_examples=60)
@given(files())
def test_both_readers_agree_on_files(contents: container.Contents) -> None:
    data = container.write(contents)
    assert_same(decode_file(data), contents if contents.exif is None else container.read(data))
    assert_both_agree(data)


@settings(max_examples=150)
@given(files(), st.data())
def test_both_readers_agree_on_damaged_files(
    contents: container.Contents, data: st.DataObject
) -> None:
    """Change, cut out or insert bytes, with or without a correct checksum of the head."""
    damaged = bytearray(container.write(contents))
    for _ in range(data.draw(st.integers(1, 3), "changes")):
        start = data.draw(st.integers(0, len(damaged)), "start")
        end = min(start + data.draw(st.integers(0, 4), "length"), len(damaged))
        damaged[start:end] = data.draw(st.binary(max_size=4), "instead")
    if data.draw(st.booleans(), "sealed"):
        seal(damaged)
    assert_both_agree(bytes(damaged))


def seal(damaged: bytearray) -> None:
    """Correct the checksum of the head, if there is a head."""
    if len(damaged) < 29 or not 4 <= damaged[18] <= 20:
        return
    height, width = (int.from_bytes(damaged[at : at + 4], "little") for at in (8, 12))
    side = 2 ** damaged[18]
    end = 29 + damaged[28] + 8 * (-(-height // side) * -(-width // side))
    if end + 4 <= len(damaged):
        damaged[end : end + 4] = zlib.crc32(damaged[:end]).to_bytes(4, "little")


@pytest.mark.parametrize("path", GOLDEN_FILES, ids=lambda path: path.stem)
def test_both_readers_refuse_every_truncation_and_every_flipped_bit(path: Path) -> None:
    data = path.read_bytes()
    assert assert_both_agree(data)
    for length in range(len(data)):
        assert not assert_both_agree(data[:length])
    for position in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        assert not assert_both_agree(bytes(damaged))


@pytest.mark.parametrize("path", GOLDEN_FILES, ids=lambda path: path.stem)
def test_both_readers_agree_on_every_byte_of_a_forged_head(path: Path) -> None:
    """Set each byte of the head to many values, with a correct checksum."""
    data = path.read_bytes()
    accepted = 0
    for position in range(29 + data[28] + 8):
        for value in (0, 1, 2, 3, 4, 5, 10, 20, 21, 24, 25, 31, 126, 127, 128, 255):
            forged = bytearray(data)
            forged[position] = value
            seal(forged)
            accepted += assert_both_agree(bytes(forged))
    assert accepted  # another step or name, for example, is valid for the container


def chunk(tag: bytes, payload: bytes) -> bytes:
    head = tag + len(payload).to_bytes(4, "little")
    return head + zlib.crc32(head + payload).to_bytes(4, "little") + payload


@pytest.mark.parametrize(
    ("chunks", "accepted"),
    [
        ([], True),
        ([chunk(b"note", b"hi")], True),
        ([chunk(b"note", b"hi"), chunk(b"nOTE", b"hi")], True),
        ([chunk(b"note", b"hi"), chunk(b"note", b"hi")], False),
        ([chunk(b"Note", b"hi")], False),
        ([chunk(b"ALPH", b"")], True),  # for the container: it is no PNG file
        ([chunk(b"ALPH", b""), chunk(b"ALPH", b"")], False),
        ([chunk(b"no e", b"")], False),
        ([chunk(b"n0te", b"")], False),
        ([chunk(b"n\xf6te"[:4], b"")], False),
        ([chunk(b"n[te", b"")], False),
        ([chunk(b"iccp", b"no zlib"), chunk(b"exif", b""), chunk(b"xmpp", b"\x78")], True),
        ([chunk(b"iccp", zlib.compress(b"")), chunk(b"xmpp", zlib.compress(b"a") + b"a")], True),
        ([chunk(b"iccp", zlib.compress(bytes(2**24)))], True),
        ([chunk(b"xmpp", zlib.compress(bytes(2**24 + 1)))], True),
    ],
)
def test_both_readers_agree_on_forged_chunks(chunks: list[bytes], accepted: bool) -> None:
    header = container.Header(5, 5, False, False, 2, 0, "tables", 16, "m", bytes(8))
    head = Head(header, [4], [zlib.crc32(b"abcd")], len(chunks))
    assert assert_both_agree(bytes(head) + b"".join(chunks) + b"abcd") == accepted


Example = tuple[str, bytes, list[list[list[int]]]]
"""Name, bytes and symbols."""


def section(name: str) -> str:
    text = DOCUMENT.read_text(encoding="utf-8").split("## Examples")[1].split("## Changes")[0]
    return text.replace("−", "-").partition(f"### {name}")[2].partition("### ")[0]


def example(name: str) -> Example:
    """Return an example of the document."""
    text = section(name)
    data = bytes.fromhex("".join(re.findall(r"^    ([0-9a-f ]+)$", text, re.M)))
    rows = re.findall(r"^\| \d \| ([-\d, ]+) \| ([-\d, ]+) \|$", text, re.M)
    return name, data, [[[int(k) for k in row.split(",")] for row in channel] for channel in rows]


def example_model() -> TablesModel:
    """Return the model of the document's first two examples, at steps 0 and 5."""
    text = DOCUMENT.read_text(encoding="utf-8").split("## Examples")[1].replace("−", "-")
    introduction = text.partition("### ")[0]
    tables = re.findall(r"^\| \d \| (-?\d+) \| ([\d, ]+) \|$", introduction, re.M)
    rows = re.findall(r"^\| \d \| (\d) \| (\d+) \| (\d) \| (\d) \|$", introduction, re.M)
    assert [int(group) for group, *_ in rows] == [0, 1]  # each channel is a group
    thresholds = [[int(threshold)] for _, threshold, *_ in rows]
    choice = [[int(quiet), int(active)] for _, _, quiet, active in rows]
    return TablesModel(
        from_counts(
            np.array([int(first) for first, _ in tables], np.int32),
            [np.array([int(n) for n in counts.split(",")], np.int32) for _, counts in tables],
        ),
        (1, 1),
        np.array([thresholds] * 6, np.int32),
        np.array([choice] * 6, np.int32),
    )


def example_context() -> ContextModel:
    """Return the model of the document's example of a context network."""
    arrays = {}
    for name, dtype, shape, numbers in re.findall(
        r"^\| `(\w+)` \| (int\d+) \(([\d, ]+)\) \| ([-\d, ]+) \|$", section("Context"), re.M
    ):
        values = np.array([int(number) for number in numbers.split(",")], dtype)
        arrays[name] = values.reshape([int(side) for side in shape.split(",")])
    model = entropy_model_of("context", arrays)
    assert isinstance(model, ContextModel)
    return model


@pytest.mark.parametrize("name", ["One tile", "Four tiles", "Context"])
def test_both_decoders_agree_on_the_examples_of_the_document(name: str) -> None:
    entropy_model = example_context() if name == "Context" else example_model()
    steps = tuple(1.0 + step for step in range(entropy_model.num_steps))
    model = Model(SlimCAEConfig((2,)), {}, {2: by_kind(entropy_model)}, steps)
    _, data, planes = example(name)
    assert assert_both_agree(data)
    file = decode_file(data)
    assert decode_planes(file, KINDS[file.kind](nested(entropy_model), file.step)) == planes
    reader = container.Reader(data)
    np.testing.assert_array_equal(decode_symbols_fast(reader, 2, model), np.array(planes))
    assert reader.header.model_fingerprint == bytes.fromhex("0011223344556677")
    side = reader.header.tile_side // 16
    tiles = [
        np.array(planes)[:, row : row + side, column : column + side]
        for row in range(0, len(planes[0]), side)
        for column in range(0, len(planes[0][0]), side)
    ]
    streams = [entropy_model.encode(tile, file.step) for tile in tiles]
    assert streams == list(file.tiles)


def test_what_the_document_says_of_its_examples() -> None:
    (_, one, planes), (_, four, tiles) = example("One tile"), example("Four tiles")
    assert container.write(container.read(one)) == one
    first, second = decode_file(one), decode_file(four)
    assert (first.height, first.width, first.step, first.tile_side) == (20, 33, 0, 1024)
    assert (second.height, second.width, second.step, second.tile_side) == (20, 30, 5, 16)
    assert (second.grey, second.srgb, second.chunks) == (True, True, {"note": b"hi"})
    text = DOCUMENT.read_text("utf-8")
    symbols = {(0, i, j): planes[0][i][j] for i in range(2) for j in range(3)}
    assert [[activity(symbols, range(1), i, j, 2, 3) for j in range(3)] for i in range(2)] == [
        [15, 8, 19],
        [6, 28, 32],
    ]
    assert "is 15, 8, 19 in row 0 and 6, 28, 32 in row 1" in text
    places = [(i, j) for i in range(2) for j in range(2)]
    assert [activity({(0, 0, 0): tiles[0][i][j]}, range(1), 0, 0, 1, 1) for i, j in places] == [
        18,
        0,
        18,
        36,
    ]
    assert "is 18, 0, 18 and 36" in text.replace("in the tiles ", "")
    assert example_model().thresholds[0, 1] == [28]
    streams = [stream.hex().upper() for stream in second.tiles]
    assert re.findall(r"`([0-9A-F]{8,})`", section("Four tiles")) == streams


def test_what_the_document_says_of_its_context_network() -> None:
    _, data, planes = example("Context")
    file, arrays = decode_file(data), nested(example_context())
    assert (file.height, file.width, file.step, file.kind) == (30, 48, 1, "context")
    symbols: dict[tuple[int, int, int], int] = {}
    coded: list[Coded] = []
    for part in KINDS["context"](arrays, 1).parts(symbols, 2, 3):
        for each in part:
            c, i, j = each.place
            symbols[each.place] = planes[c][i][j]
        coded += part
    rows = re.findall(
        r"^\| (\d), (\d), (\d) \| (\d) \| (-?\d+) \| ([+-]) \| (-?\d+) \| (-?\d+) \|$",
        section("Context"),
        re.M,
    )
    assert len(rows) == len(coded) == 12
    for (*place, table, centre, sign, value, symbol), each in zip(rows, coded, strict=True):
        assert tuple(map(int, place)) == each.place
        assert (int(table), int(centre), int(f"{sign}1")) == (each.table, each.centre, each.sign)
        assert int(symbol) == symbols[each.place] == each.centre + each.sign * int(value)


@pytest.mark.parametrize("variant", ["switchable", "slim", "slim+"])
def test_models_of_every_variant_are_what_the_document_says(
    variant: GDNVariant, tmp_path: Path
) -> None:
    """Compare tables, fingerprints and pixels with the pure-Python reader of models."""
    torch.manual_seed(0)
    network = SlimCAE(SlimCAEConfig((6, 4, 2), variant))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.rand_like(parameter))
        network.g_s.igdn2.owner(6).beta[1] = 0.0  # below its bound
        network.g_s.igdn2.owner(6).gamma[1] = -1.0
        network.g_s.deconv3.weight.mul_(0.2)
    model = halved(to_model(network, steps=(1.0, 0.45, 1.3)))
    write_model(tmp_path / "model.safetensors", model, half=True)
    codec = Codec(read_model(tmp_path), precision="float32")
    slow_model = SlowModel((tmp_path / "model.safetensors").read_bytes())
    rng = np.random.default_rng(0)
    for step, width in enumerate(codec.widths):
        assert slow_model.fingerprint(width) == codec.model.fingerprint(width)
        assert slow_model.entropy_model(width, step).arrays == nested(
            codec.model.entropy_model(width)
        )
        symbols = rng.integers(-3, 4, (width, 2, 3)).astype(np.int16)
        pixels = np.array(slow_model.pixels(symbols.tolist(), step, 17, 33, grey=False))
        fast_pixels = codec.synthesise(symbols, (17, 33), width, step)
        assert fast_pixels.std() > 10  # otherwise any two of them would be equal
        assert np.abs(pixels - fast_pixels).max() <= 1


def test_pixels_depend_on_two_latents_around_them_and_no_more() -> None:
    """docs/format.md, "Parts of a picture": a large latent affects pixels up to this distance."""
    codec = Codec(read_model(TESTS / "data" / "golden" / "tiny.safetensors"), precision="float32")
    quiet = np.zeros((4, 11, 11), np.int16)
    expected = codec.synthesise(quiet, (176, 176), 4)
    loud = quiet.copy()
    loud[:, 5, 5] = 30000
    changed = (codec.synthesise(loud, (176, 176), 4) != expected).any(axis=2)
    rows, columns = (np.unique(places // 16 - 5).tolist() for places in np.nonzero(changed))
    # it is the second latent beyond the pixels of -2, and the first before those of 1
    assert rows == columns == [-2, -1, 0, 1]
