"""Golden files of models whose operating points do not share slimmable kernels."""

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reference_decoder import decode_file, decode_planes
from reference_model import Model as SlowModel
from slimcae.codec import Codec
from slimcae.model.config import METHODS
from slimcae.model.file import read_model

FOLDER = Path(__file__).parent / "data" / "golden" / "methods"
PINNED = json.loads((FOLDER / "pinned.json").read_text(encoding="utf-8"))

every_file = pytest.mark.parametrize("name", PINNED)


@cache
def codec_of(method: str) -> Codec:
    return Codec(read_model(FOLDER / f"{method}.safetensors"), precision="float32")


@cache
def slow_model_of(method: str) -> SlowModel:
    return SlowModel((FOLDER / f"{method}.safetensors").read_bytes())


def parts(name: str) -> tuple[bytes, str, int]:
    """The file, the method of its model, and its operating point."""
    method, _, point = name.rpartition("-")
    return (FOLDER / f"{name}.scae").read_bytes(), method, int(point)


def test_the_set_is_whole() -> None:
    assert {path.stem for path in FOLDER.glob("*.scae")} == set(PINNED)
    assert {parts(name)[1:] for name in PINNED} == {(m, p) for m in METHODS[1:] for p in (2, 1)}
    for method in METHODS[1:]:
        described = slow_model_of(method).described
        assert (described["format"], described["config"]["method"]) == (6, method)
        assert codec_of(method).model.config.method == method


@every_file
def test_bytes_and_symbols_are_the_pinned_ones(name: str) -> None:
    data, method, point = parts(name)
    assert hashlib.sha256(data).hexdigest() == PINNED[name]["file"]
    symbols = codec_of(method).read_symbols(data)
    digest = hashlib.sha256(symbols.astype("<i2").tobytes()).hexdigest()
    assert digest == PINNED[name]["symbols"]
    assert np.abs(symbols).max() > 1
    file, slow = decode_file(data), slow_model_of(method).point(point)
    entropy_model = slow.entropy_model(file.num_filters, file.step, file.kind)
    np.testing.assert_array_equal(decode_planes(file, entropy_model), symbols)
    fast = codec_of(method).model.entropy_model(point)
    assert fast.decode(fast.encode(symbols, file.step), symbols.shape, file.step).tobytes() == (
        symbols.tobytes()
    )


@every_file
def test_fingerprints_are_those_of_the_document(name: str) -> None:
    data, method, point = parts(name)
    fingerprint = slow_model_of(method).point(point).fingerprint(8)
    assert fingerprint == codec_of(method).model.fingerprint(point)
    assert fingerprint == decode_file(data).fingerprint


@every_file
def test_pixels_are_the_stored_ones_within_a_level(name: str) -> None:
    """Compare pixels of the codec with those of the slow reader."""
    data, method, point = parts(name)
    with Image.open(FOLDER / f"{name}.png") as stored:
        expected = np.asarray(stored, int)
    found = np.asarray(codec_of(method).decompress(data), int)
    assert np.abs(found - expected).max() <= 1
    file, slow = decode_file(data), slow_model_of(method).point(point)
    planes = decode_planes(file, slow.entropy_model(8, file.step, file.kind))
    rows = slow.pixels(planes, file.step, file.height, file.width, file.grey)
    by_document = np.array(rows).reshape(expected.shape)
    assert np.abs(by_document - expected).max() <= 1
    assert np.mean(by_document != expected) < 0.01


def test_every_factor_counts() -> None:
    for method in METHODS[1:]:
        tensors = codec_of(method).model.tensors
        for name in tensors:
            if name.endswith(("modulation", "scaling.log_scale")):
                assert np.count_nonzero(tensors[name][1]) == 8, name
