"""Test damaged and forged files: each ends in `BitstreamError` or a picture, soon and silently.

Run with `-s` to see how many inputs of each kind were tried and how they ended.
"""

import re
import struct
import tracemalloc
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_codec import LMBDA, make_model

from cpu_time import lines_run
from slimcae import container
from slimcae.codec import Codec
from slimcae.container import Contents, Header
from slimcae.container.header import Head, head_bytes, read_head
from slimcae.errors import BitstreamError
from slimcae.model.config import ModelInfo
from slimcae.model.file import read_model, write_model

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
EVERYTHING = (GOLDEN / "scae" / "everything.scae").read_bytes()
"""A file with all chunks and two tiles."""
REFUSED, DECODED = "refused", "decoded"


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(read_model(GOLDEN / "tiny.safetensors"))


@pytest.fixture(scope="module", autouse=True)
def counts() -> Iterator[dict[str, Counter[str]]]:
    """Count the inputs of each kind and their outcomes; printed at the end."""
    found: dict[str, Counter[str]] = {}
    yield found
    for kind, outcomes in found.items():
        print(f"{kind}: {outcomes.total():,} tried, {dict(outcomes)}")


@pytest.fixture
def tally(codec: Codec, counts: dict[str, Counter[str]], request: pytest.FixtureRequest) -> "Tally":
    kind = re.sub(r"^test_|\[.*", "", request.node.name).replace("_", " ")
    return Tally(codec, counts.setdefault(kind, Counter()))


class Tally:
    """Decode inputs, and count the outcomes."""

    def __init__(self, codec: Codec, counts: Counter[str]) -> None:
        self.codec = codec
        self.counts = counts

    def end_of(self, data: bytes, codec: Codec | None = None) -> tuple[str, object]:
        """`REFUSED` and the message, or `DECODED` and the picture; anything else fails.

        A warning fails, too, also one inside code that catches all exceptions: the suite's
        own filter would turn it into one of these.
        """
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            try:
                result: tuple[str, object] = DECODED, (codec or self.codec).decompress(data)
            except BitstreamError as error:
                assert str(error) and "\n" not in str(error)
                result = REFUSED, str(error)
        assert not heard, [str(warning.message) for warning in heard]
        self.counts[result[0]] += 1
        return result

    def refused(self, data: bytes, match: str, codec: Codec | None = None) -> None:
        outcome, message = self.end_of(data, codec)
        assert outcome == REFUSED
        assert re.search(match, str(message)), message

    def all_refused(self, inputs: Iterable[bytes]) -> None:
        for data in inputs:
            assert self.end_of(data)[0] == REFUSED


def parts_of(name: str) -> Contents:
    return container.read((GOLDEN / "scae" / f"{name}.scae").read_bytes())


def forged(contents: Contents, **changes: object) -> bytes:
    """Return a file with a changed header and correct checksums."""
    return container.write(replace(contents, header=replace(contents.header, **changes)))  # type: ignore[arg-type]


def claiming(header: Header, stream: bytes, entries: int) -> bytes:
    """Return a file with many index entries and correct checksums; only the first has bytes."""
    others = [0] * (entries - 1)
    return bytes(Head(header, [len(stream), *others], [zlib.crc32(stream), *others], 0)) + stream


def flipped(data: bytes, masks: Iterable[int]) -> Iterator[bytes]:
    for position in range(len(data)):
        for mask in masks:
            damaged = bytearray(data)
            damaged[position] ^= mask
            yield bytes(damaged)


def test_every_truncation(tally: Tally) -> None:
    tally.all_refused(EVERYTHING[:length] for length in range(len(EVERYTHING)))


def test_every_flipped_bit(tally: Tally) -> None:
    """Flip all eight bits of each byte, one at a time; checksums cover ignorable chunks, too."""
    tally.all_refused(flipped(EVERYTHING, [1 << bit for bit in range(8)]))


def test_every_byte_inverted_or_grown_by_one(tally: Tally) -> None:
    tally.all_refused(flipped(EVERYTHING, [0xFF, 0x55]))
    for position in range(len(EVERYTHING) + 1):
        inserted = EVERYTHING[:position] + b"\x89" + EVERYTHING[position:]
        assert tally.end_of(inserted)[0] == REFUSED
        removed = EVERYTHING[:position] + EVERYTHING[position + 1 :]
        assert removed == EVERYTHING or tally.end_of(removed)[0] == REFUSED


def test_every_flipped_byte_of_an_ignorable_chunk_with_a_right_checksum(
    tally: Tally, codec: Codec
) -> None:
    """The picture is correct, whatever happens to the metadata."""
    contents = container.read(EVERYTHING)
    expected = codec.decompress(EVERYTHING)
    plain = replace(contents, icc_profile=None, exif=None, xmp=None)
    head = read_head(EVERYTHING)
    alpha_and_tiles = container.write(plain)[head_bytes(plain.header) :]
    for tag, payload in (
        (b"iccp", zlib.compress(contents.icc_profile or b"")),
        (b"exif", zlib.compress((contents.exif or b"")[6:])),
        (b"xmpp", zlib.compress(contents.xmp or b"")),
        (b"note", b"nobody knows"),
    ):
        start = bytes(Head(contents.header, head.lengths, head.checksums, 2))
        for damaged in flipped(payload, [0xFF, 0x01]):
            frame = struct.pack("<4sI", tag, len(damaged))
            chunk = frame + struct.pack("<I", zlib.crc32(frame + damaged)) + damaged
            outcome, picture = tally.end_of(start + chunk + alpha_and_tiles)
            assert outcome == DECODED
            assert isinstance(picture, Image.Image)
            assert picture.mode == "RGBA"
            assert picture.tobytes() == expected.tobytes()


WILD_SIZES = [
    (2**10, 2**10), (1, 2**20), (2**20, 1), (1, 2**28), (2**28, 1), (2**14, 2**14),
    (2**15, 2**15), (2**20, 2**20), (1, 2**32 - 1), (2**32 - 1, 1), (2**32 - 1, 2**32 - 1),
]  # fmt: skip


@pytest.mark.parametrize("tile_side", [16, 1024, 2**20])
@pytest.mark.parametrize("stream", [b"", b"\xff" * 8, b"any eight words of text, or more"])
def test_wild_sizes_with_few_bytes(stream: bytes, tile_side: int, tally: Tally) -> None:
    """They end at once, and allocate no memory for missing data."""
    header = replace(parts_of("odd").header, tile_side=tile_side)
    for height, width in WILD_SIZES:
        header = replace(header, image_height=height, image_width=width)
        # a complete index needs a file of its own size: this file has a part at most
        data = claiming(header, stream, min(header.num_tiles, 2**12))
        allowed = 2**22 + 200 * len(data)
        if height * width <= 2**20:  # small enough to start, with latents of 16 x 16 pixels
            allowed += 12 * max(height, 16) * max(width, 16)
        tracemalloc.start()
        outcome, _ = tally.end_of(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert outcome == REFUSED
        assert peak < allowed
        # some lines for each existing entry, not for each claimed tile or pixel
        assert lines_run(partial(tally.end_of, data)) < 5_000 + 100 * len(data) // 8


@pytest.mark.parametrize("stream", [bytes(4), bytes(8)], ids=bytes.hex)
def test_words_of_zeros_for_a_million_pixels(stream: bytes, tally: Tally) -> None:
    """Reads beyond the end of a stream give symbols without end."""
    header = replace(parts_of("odd").header, image_height=2**10, image_width=2**10)
    tally.refused(claiming(header, stream, 1), "cannot hold")


def test_another_models_files_name_what_they_need(tally: Tally, tmp_path: Path) -> None:
    write_model(tmp_path / "other.safetensors", make_model(1, ModelInfo("other", "2", LMBDA)))
    other = Codec(read_model(tmp_path / "other.safetensors"))
    for path in sorted((GOLDEN / "scae").glob("*.scae")):
        data = path.read_bytes()
        header = container.Reader(data).header
        needed = header.model_fingerprint.hex()
        here = other.model.fingerprint(header.num_filters).hex()
        message = rf"needs model tiny width {header.num_filters} \({needed}\).*other.*{here}"
        tally.refused(data, message, other)


@pytest.mark.parametrize("width", [1, 5, 13, 65535])
def test_widths_that_the_model_lacks(width: int, tally: Tally) -> None:
    message = rf"needs model tiny width {width} \(.*has widths 12, 8, 4"
    tally.refused(forged(parts_of("odd"), num_filters=width), message)


def test_a_width_with_the_fingerprint_of_another(tally: Tally, codec: Codec) -> None:
    contents = parts_of("odd")
    for width in (8, 4):
        right = codec.model.fingerprint(width)
        needed = contents.header.model_fingerprint.hex()
        tally.refused(forged(contents, num_filters=width), rf"\({needed}\).*{right.hex()}")
        # the streams are of another width than everything else: they may decode to some picture
        tally.end_of(forged(contents, num_filters=width, model_fingerprint=right))


def test_steps_that_the_model_lacks(tally: Tally) -> None:
    for step in range(3, 256):
        message = f"quantisation step {step}: the model has 3"
        tally.refused(forged(parts_of("odd"), step=step), message)
    for step in range(3):  # streams of step 1 decoded with other tables
        tally.end_of(forged(parts_of("odd"), step=step))


def test_kinds_of_entropy_models_that_the_model_lacks(tally: Tally) -> None:
    """For the other kinds, a stream of another kind may decode to some picture."""
    for name, lacks in (("odd", "factorized"), ("tiles-narrow", "context")):
        contents = parts_of(name)
        message = f"kind {lacks}: the model has .* at width {contents.header.num_filters}$"
        tally.refused(forged(contents, entropy_model=lacks), message)
    for name in ("odd", "tiles", "tiles-context", "extremes"):
        tally.end_of(forged(parts_of(name), entropy_model="tables"))


def png_chunk(tag: bytes, payload: bytes) -> bytes:
    return (
        struct.pack(">I", len(payload))
        + tag
        + payload
        + struct.pack(">I", zlib.crc32(tag + payload))
    )


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 0) -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + png_chunk(b"IEND", b"")


def saved(mode: str, size: tuple[int, int], kind: str = "PNG", **options: object) -> bytes:
    content = BytesIO()
    Image.new(mode, size).save(content, kind, **options)
    return content.getvalue()


SAMPLES = png_chunk(b"IDAT", zlib.compress(bytes(13 * 20)))
"""Pictures of at least 12 rows and 12 columns; `everything` has 12 rows and 20 columns."""
ALPHA = {
    "nothing": b"",
    "a signature": b"\x89PNG\r\n\x1a\n",
    "text": b"no picture at all",
    "a GIF file": saved("L", (20, 12), "GIF"),
    "a JPEG file": saved("L", (20, 12), "JPEG"),
    "a row more": saved("L", (20, 13)),
    "a column less": saved("L", (19, 12)),
    "turned": saved("L", (12, 20)),
    "one pixel": saved("L", (1, 1)),
    "RGB": saved("RGB", (20, 12)),
    "RGBA": saved("RGBA", (20, 12)),
    "LA": saved("LA", (20, 12)),
    "a palette": saved("P", (20, 12)),
    "a transparent grey": saved("L", (20, 12), transparency=0),
    "no rows": png(20, 0, SAMPLES),
    "a bomb by size": png(2**31 - 1, 2**31 - 1, SAMPLES),
    "a bomb of a million rows": png(20, 10**6, SAMPLES),
    "no samples": png(20, 12),
    "samples that do not inflate": png(20, 12, png_chunk(b"IDAT", b"no zlib stream")),
    "an unknown colour type": png(20, 12, SAMPLES, colour=5),
    "an unknown depth": png(20, 12, SAMPLES, depth=3),
    "a bomb in its text": png(
        20, 12, png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**24))), SAMPLES
    ),
}
# accepted by Pillow, but not allowed by docs/format.md
LENIENT = {
    "half its samples": png(20, 12, png_chunk(b"IDAT", zlib.compress(bytes(21 * 6)))),
    "16 bits": saved("I;16", (20, 12)),
    "1 bit": saved("1", (20, 12)),
    "turned by its EXIF data": saved(
        "L",
        (12, 20),
        exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    ),
    "a gamma value": png(20, 12, png_chunk(b"gAMA", bytes(4)), SAMPLES),
    "an animation of no frames": png(20, 12, png_chunk(b"acTL", bytes(8)), SAMPLES),
}


@pytest.mark.parametrize("alpha", [*ALPHA, *LENIENT])
def test_forged_alpha(alpha: str, tally: Tally) -> None:
    data = container.write(replace(container.read(EVERYTHING), alpha=(ALPHA | LENIENT)[alpha]))
    tally.refused(data, "alpha")


def test_every_flipped_byte_of_the_alpha_channel_with_a_right_checksum(tally: Tally) -> None:
    contents = container.read(EVERYTHING)
    assert contents.alpha is not None
    for damaged in flipped(contents.alpha, [0xFF, 0x01]):
        tally.end_of(container.write(replace(contents, alpha=damaged)))


@pytest.mark.parametrize(
    "name", ["everything", "tiles", "tiles-fast", "extremes", "extremes-tables"]
)
def test_streams_that_are_cut_or_longer(name: str, tally: Tally) -> None:
    """Keep any number of bytes, with correct checksums.

    The coder reads zeros beyond the end, and about one in twenty such streams ends as a whole one
    may (docs/format.md, "What to reject"): a picture then, if not the right one.
    """
    contents = parts_of(name)
    for index, stream in enumerate(contents.tiles):
        tiles = list(contents.tiles)
        for length in range(len(stream)):
            tiles[index] = stream[:length]
            outcome, _ = tally.end_of(container.write(replace(contents, tiles=tiles)))
            assert outcome == REFUSED or (length and length % 4 == 0)
        for more in (b"\0", bytes(8), b"\xff" * 8, bytes(400), stream + stream):
            tiles[index] = stream + more  # a single word may be the additional word at the end
            tally.refused(container.write(replace(contents, tiles=tiles)), "coded symbols")


@pytest.mark.parametrize("name", ["tiles", "full-tiles", "extremes"])
def test_streams_swapped_between_tiles(name: str, tally: Tally) -> None:
    contents = parts_of(name)
    data = container.write(contents)
    head = data[: len(data) - sum(map(len, contents.tiles))]
    numbers = range(len(contents.tiles))
    for first in numbers:
        for second in numbers[:first]:
            tiles = list(contents.tiles)
            tiles[first], tiles[second] = tiles[second], tiles[first]
            if tiles != contents.tiles:
                assert tally.end_of(head + b"".join(tiles))[0] == REFUSED  # see the index
            tally.end_of(container.write(replace(contents, tiles=tiles)))


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.binary(max_size=24), min_size=2, max_size=2), st.booleans())
def test_streams_of_arbitrary_bytes(tally: Tally, streams: list[bytes], whole: bool) -> None:
    if whole:
        streams = [stream[: len(stream) // 4 * 4] for stream in streams]
    tally.end_of(container.write(replace(container.read(EVERYTHING), tiles=streams)))


def test_streams_of_random_words(tally: Tally) -> None:
    rng = np.random.default_rng(0)
    contents = container.read(EVERYTHING)
    for size in range(1, 1001):
        tiles = [rng.bytes(4 * (1 + size % 9)), contents.tiles[1]]
        tally.end_of(container.write(replace(contents, tiles=tiles)))


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.binary(max_size=60), st.booleans())
def test_arbitrary_bytes_for_a_file(tally: Tally, data: bytes, begin_well: bool) -> None:
    assert tally.end_of((EVERYTHING[:32] if begin_well else b"") + data)[0] == REFUSED


def coded(codec: Codec, symbols: np.ndarray, step: int, **changes: object) -> bytes:
    """Return a file of one tile with these symbols."""
    width, rows, columns = symbols.shape
    header = replace(
        parts_of("odd").header,
        image_height=16 * rows,
        image_width=16 * columns,
        num_filters=width,
        step=step,
        entropy_model=codec.model.kind(width),
        model_fingerprint=codec.model.fingerprint(width),
    )
    stream = codec.model.entropy_model(width).encode(symbols, step)
    return container.write(Contents(replace(header, **changes), [stream]))  # type: ignore[arg-type]


def extreme_symbols(shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    largest = 32767
    yield np.full(shape, largest)
    yield np.full(shape, -largest)
    yield np.where(np.indices(shape).sum(axis=0) % 2, largest, -largest)
    for _ in range(5):
        yield rng.choice([-largest, largest], shape)
        yield rng.integers(-largest, largest + 1, shape)
    for channel in range(shape[0]):
        alone = np.zeros(shape, np.int64)
        alone[channel] = largest
        yield alone


@pytest.mark.usefixtures("emulated_bfloat16")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("gain", [1.0, 1e4, 1e9])
def test_extreme_symbols(gain: float, precision: str, tally: Tally) -> None:
    """A reconstruction may be huge, infinite, or infinite in two directions at once."""
    model = read_model(GOLDEN / "tiny.safetensors")
    name = "g_s.deconv1.weight"
    louder = {name: model.tensors[name] * np.float32(gain)}
    codec = Codec(replace(model, tensors={**model.tensors, **louder}), precision=precision)
    outcomes = set()
    for width in codec.widths:
        for step in range(3):
            for symbols in extreme_symbols((width, 2, 3)):
                data = coded(codec, symbols.astype(np.int32), step, grey=bool(step))
                outcome, what = tally.end_of(data, codec)
                assert outcome == DECODED or "no picture" in str(what)
                outcomes.add(outcome)
    assert outcomes == {REFUSED if gain > 1e8 else DECODED} or gain == 1e4


def test_forged_chunks(tally: Tally) -> None:
    contents = parts_of("odd")
    head = read_head(container.write(contents))
    streams = b"".join(contents.tiles)

    def chunk(tag: bytes, payload: bytes) -> bytes:
        frame = struct.pack("<4sI", tag, len(payload))
        return frame + struct.pack("<I", zlib.crc32(frame + payload)) + payload

    def with_chunks(*chunks: bytes) -> bytes:
        return bytes(replace(head, num_chunks=len(chunks))) + b"".join(chunks) + streams

    tags = [bytes([97 + n // 26, 97 + n % 26]) + b"zz" for n in range(255)]
    assert tally.end_of(with_chunks(*(chunk(tag, b"") for tag in tags)))[0] == DECODED
    whole = container.write(contents)
    assert tally.end_of(with_chunks(chunk(b"file", whole)))[0] == DECODED  # nested, unknown
    tally.refused(with_chunks(chunk(b"File", whole)), "needs chunk File")
    tally.refused(with_chunks(chunk(b"note", b""), chunk(b"note", b"")), "note appears twice")
    tally.refused(with_chunks(chunk(b"ALPH", b""), chunk(b"ALPH", b"")), "ALPH appears twice")
    assert tally.end_of(with_chunks(chunk(b"OPAC", b"\x80")))[0] == DECODED
    for payload in (b"", b"\x80\x80"):
        tally.refused(with_chunks(chunk(b"OPAC", payload)), "the alpha of all pixels has")
    both = chunk(b"OPAC", b"\x80"), chunk(b"ALPH", saved("L", (33, 17)))
    for chunks in (both, both[::-1]):
        tally.refused(with_chunks(*chunks), "two chunks of alpha")
    tally.refused(bytes(replace(head, num_chunks=255)) + streams, "chunk|truncated|tag")
    absurd = struct.pack("<4sII", b"note", 2**32 - 1, 0)
    tally.refused(with_chunks(absurd), "truncated")


@pytest.mark.parametrize("tag", [b"iccp", b"exif", b"xmpp"])
def test_bombs_for_metadata(tag: bytes, tally: Tally) -> None:
    contents = parts_of("odd")
    head = read_head(container.write(contents))
    payload = zlib.compress(bytes(2**28), 9)
    frame = struct.pack("<4sI", tag, len(payload))
    chunk = frame + struct.pack("<I", zlib.crc32(frame + payload)) + payload
    tracemalloc.start()
    outcome, picture = tally.end_of(
        bytes(replace(head, num_chunks=1)) + chunk + b"".join(contents.tiles)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome == DECODED
    assert isinstance(picture, Image.Image)
    assert not {"icc_profile", "exif", "xmp"} & set(picture.info)
    assert peak < 3 * 2**24


def test_crops_of_damaged_files_are_right_or_refused(
    codec: Codec, counts: dict[str, Counter[str]]
) -> None:
    """A crop reads only its own tiles: damage elsewhere may go unnoticed; pixels are correct."""
    data = (GOLDEN / "scae" / "tiles.scae").read_bytes()
    crop = (70, 70, 20, 30)
    expected = codec.decompress(data, crop=crop).tobytes()
    ends = counts.setdefault("crops of damaged files", Counter())
    for damaged in [*flipped(data, [0x01, 0x80]), *(data[:n] for n in range(len(data)))]:
        try:
            found = codec.decompress(damaged, crop=crop)
        except BitstreamError:
            ends[REFUSED] += 1
        else:
            assert found.tobytes() == expected
            ends[DECODED] += 1
    assert min(ends[REFUSED], ends[DECODED]) > 50
