"""Golden files of the architecture `light`: the same bytes, symbols and pixels for ever."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reference_decoder import decode_file, decode_planes
from reference_model import Model as SlowModel
from slimcae import container
from slimcae.codec import Codec
from slimcae.model.file import read_model

GOLDEN = Path(__file__).parent / "data" / "golden"
MODEL = GOLDEN / "tiny-light.safetensors"
FILES = sorted((GOLDEN / "light").glob("*.scae"))
PINNED = json.loads((GOLDEN / "light" / "pinned.json").read_text(encoding="utf-8"))

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(read_model(MODEL), precision="float32")


@pytest.fixture(scope="module")
def slow_model() -> SlowModel:
    return SlowModel(MODEL.read_bytes())


def test_the_set_is_whole(codec: Codec, slow_model: SlowModel) -> None:
    assert {path.stem for path in FILES} == set(PINNED)
    assert codec.model.config.architecture == "light"
    assert slow_model.described["format"] == 5
    headers = [decode_file(path.read_bytes()) for path in FILES]
    assert {header.num_filters for header in headers} == {12, 8, 4}
    assert {header.kind for header in headers} == {"context", "tables", "factorized"}
    assert sum(len(header.tiles) > 1 for header in headers) >= 2


@every_file
def test_bytes_and_symbols_are_the_pinned_ones(
    path: Path, codec: Codec, slow_model: SlowModel
) -> None:
    data = path.read_bytes()
    assert hashlib.sha256(data).hexdigest() == PINNED[path.stem]["file"]
    symbols = codec.read_symbols(data)
    digest = hashlib.sha256(symbols.astype("<i2").tobytes()).hexdigest()
    assert digest == PINNED[path.stem]["symbols"]
    file = decode_file(data)
    entropy_model = slow_model.entropy_model(file.num_filters, file.step, file.kind)
    np.testing.assert_array_equal(decode_planes(file, entropy_model), symbols)
    header = container.read(data).header
    contents = container.read(data)
    fast = codec.model.entropy_model(header.num_filters, header.entropy_model)
    side = header.tile_side // 16
    _, rows, columns = symbols.shape
    streams = [
        fast.encode(symbols[:, top : top + side, left : left + side], header.step)
        for top in range(0, rows, side)
        for left in range(0, columns, side)
    ]
    assert list(contents.tiles) == streams


@every_file
def test_pixels_are_the_stored_ones_within_a_level(path: Path, codec: Codec) -> None:
    with Image.open(path.with_suffix(".png")) as stored:
        expected = np.asarray(stored, int)
    found = np.asarray(codec.decompress(path.read_bytes()), int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1


@every_file
def test_pixels_by_the_document_are_the_stored_ones_within_a_level(
    path: Path, slow_model: SlowModel
) -> None:
    file = decode_file(path.read_bytes())
    entropy_model = slow_model.entropy_model(file.num_filters, file.step, file.kind)
    planes = decode_planes(file, entropy_model)
    rows = slow_model.pixels(planes, file.step, file.height, file.width, file.grey)
    with Image.open(path.with_suffix(".png")) as stored:
        expected = np.asarray(stored, int)
    found = np.array(rows).reshape(expected.shape)
    assert np.abs(found - expected).max() <= 1
    assert np.mean(found != expected) < 0.01


@pytest.mark.parametrize("width", [12, 8, 4])
def test_fingerprints_are_those_of_the_document(
    width: int, codec: Codec, slow_model: SlowModel
) -> None:
    assert slow_model.fingerprint(width) == codec.model.fingerprint(width)


def test_every_number_of_the_decoder_counts(codec: Codec) -> None:
    """The stored pixels would say little of a layer that is an identity."""
    for name, array in codec.model.tensors.items():
        if name.startswith("g_s."):
            assert np.count_nonzero(array) > 0.95 * array.size, name
