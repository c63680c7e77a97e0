"""Golden files of what came later, the light architectures and the kind `hyperprior`.

The same bytes, symbols and pixels for ever.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reference_decoder import decode_file, decode_planes
from reference_model import Model as SlowModel
from slimcae import container
from slimcae.codec import Codec
from slimcae.model.file import read_model

GOLDEN = Path(__file__).parent / "data" / "golden"
FOLDERS = ("light", "lighter", "broad", "broader", "hyperprior")
FILES = [path for folder in FOLDERS for path in sorted((GOLDEN / folder).glob("*.scae"))]

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
every_picture = pytest.mark.parametrize(
    "path", [f for f in FILES if f.with_suffix(".png").exists()], ids=lambda path: path.stem
)


def pinned(folder: str) -> Any:
    return json.loads((GOLDEN / folder / "pinned.json").read_text(encoding="utf-8"))


@cache
def codec_of(folder: str) -> Codec:
    return Codec(read_model(GOLDEN / f"tiny-{folder}.safetensors"), precision="float32")


@cache
def slow_model_of(folder: str) -> SlowModel:
    return SlowModel((GOLDEN / f"tiny-{folder}.safetensors").read_bytes())


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_set_is_whole(folder: str) -> None:
    files = [path for path in FILES if path.parent.name == folder]
    assert {path.stem for path in files} == set(pinned(folder))
    light = folder != "hyperprior"
    assert codec_of(folder).model.config.architecture == (folder if light else "slimcae")
    assert slow_model_of(folder).described["format"] == (5 if light else 4)
    headers = [decode_file(path.read_bytes()) for path in files]
    assert {header.num_filters for header in headers} == ({12, 8, 4} if light else {4})
    kinds = {"context", "tables", "factorized"} if light else {"hyperprior"}
    assert {header.kind for header in headers} == kinds
    assert {header.step for header in headers} == {0, 1, 2}
    assert any(len(header.tiles) > 1 for header in headers)


@every_file
def test_bytes_and_symbols_are_the_pinned_ones(path: Path) -> None:
    codec, slow_model = codec_of(path.parent.name), slow_model_of(path.parent.name)
    expected = pinned(path.parent.name)[path.stem]
    data = path.read_bytes()
    assert hashlib.sha256(data).hexdigest() == expected["file"]
    symbols = codec.read_symbols(data)
    digest = hashlib.sha256(symbols.astype("<i2").tobytes()).hexdigest()
    assert digest == expected["symbols"]
    file = decode_file(data)
    entropy_model = slow_model.entropy_model(file.num_filters, file.step, file.kind)
    channels = slow_model.latents(file.num_filters)
    np.testing.assert_array_equal(decode_planes(file, entropy_model, channels), symbols)
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


@every_picture
def test_pixels_are_the_stored_ones_within_a_level(path: Path) -> None:
    codec = codec_of(path.parent.name)
    with Image.open(path.with_suffix(".png")) as stored:
        expected = np.asarray(stored, int)
    found = np.asarray(codec.decompress(path.read_bytes()), int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1


@every_picture
def test_pixels_by_the_document_are_the_stored_ones_within_a_level(path: Path) -> None:
    slow_model = slow_model_of(path.parent.name)
    file = decode_file(path.read_bytes())
    entropy_model = slow_model.entropy_model(file.num_filters, file.step, file.kind)
    planes = decode_planes(file, entropy_model, slow_model.latents(file.num_filters))
    rows = slow_model.pixels(planes, file.step, file.height, file.width, file.grey)
    with Image.open(path.with_suffix(".png")) as stored:
        expected = np.asarray(stored, int)
    found = np.array(rows).reshape(expected.shape)
    assert np.abs(found - expected).max() <= 1
    assert np.mean(found != expected) < 0.01


@pytest.mark.parametrize(
    ("folder", "width"),
    [
        *(("light", width) for width in (12, 8, 4)),
        *(("lighter", width) for width in (12, 8)),
        *(("broad", width) for width in (12, 4)),
        *(("broader", width) for width in (12, 4)),
        ("hyperprior", 4),
    ],
)
def test_fingerprints_are_those_of_the_document(folder: str, width: int) -> None:
    codec, slow_model = codec_of(folder), slow_model_of(folder)
    assert slow_model.fingerprint(width) == codec.model.fingerprint(width)


@pytest.mark.parametrize("folder", ["light", "lighter", "broad", "broader"])
def test_every_number_of_the_decoder_counts(folder: str) -> None:
    """The stored pixels would not test layers that are identities."""
    for name, array in codec_of(folder).model.tensors.items():
        if name.startswith("g_s."):
            assert np.count_nonzero(array) > 0.95 * array.size, name
