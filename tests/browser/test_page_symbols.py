"""Test the page's decoder in Node: symbols of all golden files, and messages for damaged ones."""

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from page_site import (
    FILES,
    GOLDEN,
    MODEL_OF,
    TINY,
    decoded_in_node,
    digest,
    needs_node,
    write_entropy_models,
)

from conftest import smooth_pixels
from slimcae import container
from slimcae.codec import Codec, codec_of
from slimcae.container.header import head_bytes, peek_header
from slimcae.errors import BitstreamError
from slimcae.images import Picture
from slimcae.model.file import read_model
from slimcae.version import __version__

pytestmark = needs_node

UNEXPECTED_END = "the coded symbols do not end where the picture does"

Decode = Callable[[dict[str, bytes]], dict[str, str]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_entropy_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def in_node(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Decode:
    def decode(files: dict[str, bytes]) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("files")
        paths = {}
        for number, (name, data) in enumerate(files.items()):
            paths[name] = folder / f"{number}.scae"
            paths[name].write_bytes(data)
        return decoded_in_node(models, paths)

    return decode


@pytest.fixture(scope="module")
def tiny() -> Codec:
    return Codec(read_model(TINY))


def test_symbols_of_every_golden_file(in_node: Decode) -> None:
    pinned = {
        f"{folder}/{name}": digests["symbols"]
        for folder in MODEL_OF
        for name, digests in json.loads((GOLDEN / folder / "pinned.json").read_text()).items()
    }
    found = in_node({f"{path.parent.name}/{path.stem}": path.read_bytes() for path in FILES})
    assert found == pinned


def test_symbols_of_points_of_one_width(tmp_path: Path) -> None:
    """Of models whose operating points share other things than kernels, or nothing."""
    folder = GOLDEN / "methods"
    models = write_entropy_models(tmp_path, sorted(folder.glob("*.safetensors")))
    files = {path.stem: path for path in folder.glob("*.scae")}
    pinned = json.loads((folder / "pinned.json").read_text())
    assert len(files) == 6
    found = decoded_in_node(models, files)
    assert found == {name: digests["symbols"] for name, digests in pinned.items()}
    # another point's fingerprint is no other width
    codec = Codec(read_model(folder / "modulated.safetensors"))
    data = codec.compress(smooth_pixels(32, 32, 0), point=1)
    header = replace(container.read_header(data), model_fingerprint=b"otherone")
    foreign = tmp_path / "foreign.scae"
    foreign.write_bytes(container.write(replace(container.read(data), header=header)))
    said = decoded_in_node(models, {"foreign": foreign})["foreign"]
    assert said.startswith("the file needs model tiny width 8 (6f746865726f6e65); ")
    prints = " ".join(codec.model.fingerprint(point).hex() for point in (1, 2))
    assert f"tiny@0 {prints}" in said


def test_symbols_of_the_shipped_model_at_all_widths_and_efforts(in_node: Decode) -> None:
    picture = Picture(smooth_pixels(200, 136, 4))
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    files, expected = {}, {}
    codec = codec_of(None)
    tiled = Codec(codec.model, codec.transforms, tile_side=64)
    for width in codec.widths:
        for effort in codec.model.efforts(width):
            for name, each in (("smooth", picture), ("noise", Picture(noise))):
                for step in (0, 11, 30):
                    key = f"{width} {effort} {name} {step}"
                    files[key] = tiled.compress(each, width, step=step, effort=effort)
                    expected[key] = digest(codec.read_symbols(files[key]))
    assert in_node(files) == expected


def outcome(codec: Codec, data: bytes) -> str:
    """Return Python's result for a file: the digest of its symbols, or the error message."""
    try:
        return digest(codec.read_symbols(data))
    except BitstreamError as error:
        return str(error)


def test_damaged_files_fail_in_the_same_words(in_node: Decode) -> None:
    codecs = {folder: Codec(read_model(path)) for folder, path in MODEL_OF.items()}
    files: dict[str, bytes] = {}
    expected: dict[str, str] = {}
    for path in FILES:
        codec = codecs[path.parent.name]
        for name, data in _damaged(path.read_bytes()):
            files[f"{path.stem} {name}"] = data
            expected[f"{path.stem} {name}"] = outcome(codec, data)
    assert len(files) > 400
    words = {said.partition(":")[0] for said in expected.values()}
    assert len(words) > 25  # damage of all kinds
    found = in_node(files)
    for name, said in expected.items():
        # the name of the program
        own = f"slimcae {__version__}"
        wanted = said.replace(own, "this decoder").replace("install a newer", "take a newer")
        # a stream that ends early may be refused, even if zeros after its end are correct
        stricter = name.endswith("shorter stream") and found[name] == UNEXPECTED_END
        assert found[name] == wanted or stricter, name


def _damaged(data: bytes) -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(zlib.crc32(data))
    for end in (0, 2, 3, 5, 20, 40, len(data) // 2, len(data) - 1):
        yield f"ends after {end}", data[:end]
    yield "goes on", data + b"12345"
    for place in rng.integers(0, len(data), 6).tolist():
        yield f"byte {place}", _changed(data, place, data[place] ^ (1 << int(rng.integers(8))))
    yield "text", data.replace(b"\r\n", b"\n", 1)
    yield "foreign", b"\x89'P\"\\\n" + data[6:]
    fields = {
        "flags": (5, 4),
        "kind": (17, 4),
        "tiles": (18, 3),
        "large": (18, 200),
        "step": (16, 9),
    }
    fields |= {"name": (28, 30), "nameless": (28, 0), "chunks": (19, 9), "version": (4, 3)}
    for name, (place, value) in fields.items():
        yield f"header {name}", _resealed(_changed(data, place, value))
    yield "odd name", _resealed(_changed(_changed(data, 29, 0x27), 30, 0xE9))
    yield "no rows", _resealed(data[:8] + bytes(4) + data[12:])
    yield "many tiles", _resealed(data[:8] + b"\xff\xff\xff\x7f" + data[12:])
    contents = container.read(data)
    for number in range(3):
        tiles = list(contents.tiles)
        chosen = int(rng.integers(len(tiles)))
        place = int(rng.integers(len(tiles[chosen])))
        flipped = tiles[chosen][place] ^ (1 << int(rng.integers(8)))
        tiles[chosen] = _changed(tiles[chosen], place, flipped)
        yield f"stream {number}", container.write(replace(contents, tiles=tiles))
    first, *rest = contents.tiles
    lengths = {"longer": first + bytes(8), "shorter": first[:-4], "odd": first[:-1]}
    for name, stream in lengths.items():
        yield f"{name} stream", container.write(replace(contents, tiles=[stream, *rest]))
    for tag in (b"ABCD", b"ab1d", b"note"):
        yield f"chunk {tag!r}", _with_chunk(data, tag, b"12")
    noted = _with_chunk(data, b"note", b"12")
    yield "chunk twice", _with_chunk(noted, b"note", b"")
    yield "wrong chunk", _changed(noted, head_bytes(contents.header) + 13, 0)


def _changed(data: bytes, place: int, value: int) -> bytes:
    return data[:place] + bytes([value]) + data[place + 1 :]


def _resealed(data: bytes) -> bytes:
    """Return a file with the correct checksum for its head, if it has one."""
    try:
        end = head_bytes(peek_header(data)[0]) - 4
    except BitstreamError:
        return data
    return data[:end] + struct.pack("<I", zlib.crc32(data[:end])) + data[end + 4 :]


def _with_chunk(data: bytes, tag: bytes, payload: bytes) -> bytes:
    end = head_bytes(peek_header(data)[0])
    head = struct.pack("<4sI", tag, len(payload))
    chunk = head + struct.pack("<I", zlib.crc32(payload, zlib.crc32(head))) + payload
    return _resealed(_changed(data[:end], 19, data[19] + 1)) + chunk + data[end:]


def test_a_file_of_another_model_is_refused(in_node: Decode, tiny: Codec) -> None:
    data = tiny.compress(Picture(smooth_pixels(32, 32, 0)), 8)
    header = container.read_header(data)
    foreign = container.read(data)
    changed = {
        "another fingerprint": replace(header, model_fingerprint=b"otherone"),
        "another width": replace(header, num_filters=5),
    }
    files = {
        name: container.write(replace(foreign, header=header)) for name, header in changed.items()
    }
    found = in_node(files)
    for name, said in found.items():
        head = changed[name]
        wanted = (
            f"the file needs model tiny width {head.num_filters} ({head.model_fingerprint.hex()}); "
        )
        assert said.startswith(f"{wanted}the models here are slimcae@"), said
    assert f"tiny@1 {header.model_fingerprint.hex()}" in found["another fingerprint"]
    assert "tiny@1 without width 5" in found["another width"]
