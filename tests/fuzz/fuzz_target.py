"""Properties that must hold for any bytes that the container and the coder get.

Without atheris: `fuzz_container.py` feeds it, `test_fuzz_corpus.py` replays what is in `corpus`.
"""

import zlib
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np

from context_networks import random_arrays
from hyperpriors import random_hyperprior
from slimcae import container
from slimcae.coding.activity import TablesModel
from slimcae.coding.coder import longest_stream
from slimcae.coding.context import ContextModel
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.hyperprior import HyperpriorModel
from slimcae.coding.tables import SymbolTables, from_counts
from slimcae.container import Contents, Header, Reader
from slimcae.container.header import ENTROPY_MODELS
from slimcae.errors import BitstreamError

MAX_SYMBOLS = 4096
"""Files with larger tiles are not decoded: the fuzzer should try many files, not large ones."""
TOTAL = 2**24
COUNTS = [
    [2**22, 2**23, 2**21, 2**21],
    [TOTAL - 1, 1],
    [1, 2, 3, 2**8, 2**16, 2**23, TOTAL - 2**23 - 2**16 - 2**8 - 7, 1],
    [1, TOTAL - 1],
]


def entropy_model(kind: str, num_filters: int) -> EntropyModel:
    """Models of this many channels and one step or three, with two groups for two channels."""
    groups = (1, num_filters - 1) if num_filters > 1 else (1,)
    channels = np.arange(num_filters)
    if kind == "context":
        return ContextModel.from_arrays(random_arrays(0, groups, 4))
    if kind == "hyperprior":
        return HyperpriorModel.from_arrays(random_hyperprior(0, num_filters, (3, 2, 2, 2, 3)))
    if kind == "factorized":
        return FactorizedModel(tables(channels % len(COUNTS)), num_filters)
    choice = np.stack([channels, channels + 1], axis=1) % len(COUNTS)
    used = np.unique(choice)
    return TablesModel(
        tables(used),
        groups,
        np.full((1, len(groups), 1), 20, np.int32),
        np.searchsorted(used, choice).astype(np.int32)[None],
    )


_model = cache(entropy_model)


def tables(which: np.ndarray) -> SymbolTables:
    minimum = np.array([-1, -2, -3, -1], np.int32)
    return from_counts(minimum[which], [np.array(COUNTS[k], np.int32) for k in which])


def check(data: bytes) -> bool:
    """Try bytes unchanged, and with corrected checksums; return whether the former were read.

    Raises:
        AssertionError: something that must hold does not.
        Exception: whatever but `BitstreamError` the package lets out.
    """
    as_it_is = check_file(data)
    check_file(resealed(data))
    for kind in ENTROPY_MODELS:
        check_stream(data, (3, 2, 3), kind)
    return as_it_is


def check_file(data: bytes) -> bool:
    """Return whether a file can be read; if so, its parts and its rewritten bytes must agree."""
    try:
        reader = Reader(BytesIO(data))
        reader.verify()
    except BitstreamError:
        assert refused(data)
        return False
    contents = container.read(data)
    header = contents.header
    assert header == reader.header == container.read_header(data)
    assert tuple(map(reader.tile, range(header.num_tiles))) == contents.tiles
    extras = (reader.alpha, reader.icc_profile, reader.exif, reader.xmp)
    assert extras == (contents.alpha, contents.icc_profile, contents.exif, contents.xmp)
    level = reader.constant_alpha
    assert level == contents.constant_alpha
    sizes = reader.sizes()
    assert sum(sizes.values()) == len(data)

    # Header, streams, alpha and metadata always come back from what is written of them, to the
    # same bytes. The file itself need not be the same bytes: its chunks may be unknown ones, in
    # another order, or deflated in another way. Without them it must.
    written = container.write(contents)
    assert container.read(written) == contents
    assert container.write(container.read(written)) == written
    alpha, icc_profile, exif, xmp = extras
    chunks = container.pack_chunks(
        alpha=alpha, constant_alpha=level, icc_profile=icc_profile, exif=exif, xmp=xmp
    )
    assert container.overhead(header, chunks) == len(written) - sizes["tiles"]
    assert container.assemble(header, contents.tiles, chunks) == written
    if sizes.keys() <= {"header", "ALPH", "OPAC", "tiles"}:
        assert written == data
    check_streams(contents)
    return True


def refused(data: bytes) -> bool:
    try:
        container.read(data)
    except BitstreamError:
        return True
    return False


def check_streams(contents: Contents) -> None:
    """Decode the tiles of a file, up to a number of symbols."""
    header = contents.header
    side = header.tile_side // 16
    rows, columns = -(-header.image_height // 16), -(-header.image_width // 16)
    if header.num_filters * rows * columns > MAX_SYMBOLS:
        return
    places = [(top, left) for top in range(0, rows, side) for left in range(0, columns, side)]
    for (top, left), stream in zip(places, contents.tiles, strict=True):
        shape = (header.num_filters, min(side, rows - top), min(side, columns - left))
        check_stream(stream, shape, header.entropy_model)


def check_stream(stream: bytes, shape: tuple[int, int, int], kind: str) -> None:
    """Decode bytes; the symbols must be in range, and equal after encoding and decoding.

    The stream itself need not be what `encode` makes of them: the last word has some freedom, and
    an escape may stand before a value that the table has.
    """
    model = _model(kind, shape[0])
    try:
        symbols = model.decode(stream, shape, 0)
    except BitstreamError:
        return
    assert symbols.shape == shape
    assert symbols.dtype == np.int16
    assert symbols.min() > -32768
    encoded = model.encode(symbols, 0)
    assert (model.decode(encoded, shape, 0) == symbols).all()
    bits = model.ideal_bits(symbols, 0)
    assert bits < 8 * len(encoded)
    assert len(encoded) <= longest_stream(bits, symbols.size)


def resealed(data: bytes) -> bytes:
    """Correct all checksums that exist; otherwise no fuzzer gets past them."""
    sealed = bytearray(data)
    if len(data) < 29:
        return data
    exponent, num_chunks, name_length = data[18], data[19], data[28]
    height, width = number(data[8:12]), number(data[12:16])
    sealed[:5] = b"\x89S\r\n\x04"
    index = 29 + name_length
    num_tiles = -(-height // 2**exponent) * -(-width // 2**exponent)
    at = end = index + 8 * num_tiles
    if len(data) < end + 4:
        return bytes(sealed)
    at += 4
    for _ in range(num_chunks):
        length = number(data[at + 4 : at + 8])
        if len(data) < at + 12 + length:
            break
        checked = data[at : at + 8] + data[at + 12 : at + 12 + length]
        sealed[at + 8 : at + 12] = checksum(checked)
        at += 12 + length
    for entry in range(index, end, 8):
        length = number(data[entry : entry + 4])
        sealed[entry + 4 : entry + 8] = checksum(data[at : at + length])
        at += length
    sealed[end : end + 4] = checksum(sealed[:end])
    return bytes(sealed)


def number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def checksum(data: bytes | bytearray) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def seeds() -> dict[str, bytes]:
    """Return small files of every kind as seeds, by name; those named `read-…` are valid."""
    rng = np.random.default_rng(0)

    def file(
        height: int,
        width: int,
        num_filters: int = 3,
        side: int = 16,
        kind: str = "tables",
        **extras: Any,
    ) -> bytes:
        header = Header(
            height,
            width,
            False,
            True,
            num_filters,
            1,
            kind,
            side,
            "fuzz",
            b"\x01\x02\x03\x04\x05\x06\x07\x08",
        )
        model = entropy_model(kind, num_filters)
        tiles = []
        for top in range(0, height, side):
            for left in range(0, width, side):
                rows, columns = min(side, height - top), min(side, width - left)
                shape = (num_filters, -(-rows // 16), -(-columns // 16))
                symbols = np.rint(rng.laplace(0, 3, shape)).astype(np.int16)
                tiles.append(model.encode(symbols, 0))
        return container.write(Contents(header, tiles, **extras))

    def with_chunk(data: bytes, tag: bytes, payload: bytes) -> bytes:
        """Return a file of one tile with this chunk only."""
        end = 29 + data[28] + 8 + 4
        changed = bytearray(data[:end])
        changed[19] = 1
        frame = tag + len(payload).to_bytes(4, "little") + bytes(4)
        return resealed(bytes(changed) + frame + payload + data[end:])

    one = file(20, 33, side=64)
    bomb = zlib.compress(bytes(2**17), 9)
    return {
        "read-one-tile": one,
        "read-six-tiles": file(20, 33),
        "read-factorized": file(20, 33, side=64, kind="factorized"),
        "read-context": file(40, 50, side=64, kind="context"),
        "read-context-tiles": file(33, 20, 5, kind="context"),
        "read-alpha": file(1, 1, alpha=b"\x89PNG\r\n\x1a\n"),
        "read-metadata": file(5, 40, 1, icc_profile=b"profile", exif=b"II*\0", xmp=b"<x/>"),
        "read-many-filters": file(16, 16, 17),
        "read-constant-alpha": file(1, 1, constant_alpha=129),
        "read-unknown-chunk": with_chunk(one, b"note", b"of 2040"),
        "read-nested": with_chunk(one, b"ALPH", one),
        "read-bomb": with_chunk(one, b"iccp", bomb),
        "read-damaged-exif": with_chunk(one, b"exif", b"not deflated"),
        "refused-constant-alpha": with_chunk(one, b"OPAC", b"\x80\x80"),
        "refused-mandatory-chunk": with_chunk(one, b"Note", b"of 2040"),
        "refused-truncated": one[:-3],
        "refused-followed": one + one,
        "refused-version": one[:4] + b"\x03" + one[5:],
        "refused-entropy-model": resealed(one[:17] + b"\x04" + one[18:]),
        "refused-wild-size": resealed(one[:8] + b"\xff" * 8 + one[16:]),
        "refused-wild-length": resealed(one[:33] + b"\xff" * 4 + one[37:]),
        "refused-magic": one[:4],
        "refused-nothing": b"",
        "read-hyperprior-tiles": file(70, 90, 3, side=64, kind="hyperprior"),
    }
