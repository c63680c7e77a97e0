"""Test the header of model files, read without torch: valid, forged and broken files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import HANG
from model_files import TENSORS, described, forge, forge_model, tensor
from slimcae.errors import ModelError
from slimcae.model.config import SlimCAEConfig
from slimcae.model.header import (
    ModelHeader,
    looks_like_safetensors,
    read_model_header,
)
from slimcae.networks.slimcae import SlimCAE

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("header") / "model.safetensors"


def read(place: Path, data: bytes) -> ModelHeader:
    place.write_bytes(data)
    return read_model_header(place)


def assert_refused(place: Path, data: bytes, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        read(place, data)
    message = str(caught.value)
    assert "\n" not in message
    for word in ("model.safetensors", *words):
        assert word in message, message


def assert_read_or_refused(place: Path, data: bytes) -> None:
    try:
        read(place, data)
    except ModelError as error:
        assert "\n" not in str(error)


def test_everything_is_read(place: Path) -> None:
    data = forge_model(described())
    assert looks_like_safetensors(data[:16])
    assert read(place, data) == ModelHeader(
        name="tiny",
        version="7",
        config=SlimCAEConfig((12, 8)),
        lmbda=(10.5, 3e-5),
        steps=(1.0, 0.5, 2.0),
        quality={
            12: ((1.5, 34.0), (2.0, 35.0), (1.0, 33.0)),
            8: ((0.5, 28.0), (0.75, 29.0), (0.25, 27.0)),
        },
        training={"step": 7},
        fingerprints={"12": "00112233445566ff", "8": "8899aabbccddeeff"},
        entropy_models={12: ("tables", "factorized"), 8: ("tables",)},
        parameters=2 * 3 + 2,
        bytes=len(data),
    )


def test_another_architecture_is_read(place: Path) -> None:
    config = {"architecture": "light", "widths": [12, 8]}
    header = read(place, forge_model(described(format=5, config=config)))
    assert header.config == SlimCAEConfig((12, 8), architecture="light")


@pytest.mark.parametrize(
    "config",
    [
        {"widths": [12, 8]},
        {"architecture": "heavy", "widths": [12, 8]},
        {"architecture": "light", "widths": [12, 6]},
        {"architecture": ["light"], "widths": [12, 8]},
        {"architecture": None, "widths": [12, 8]},
        {"architecture": "slimcae", "widths": [12, 8], "gdn": "switchable"},
        {"architecture": "light", "widths": [12, 8], "gdn": "slim"},
    ],
)
def test_architectures_that_cannot_be_are_refused(place: Path, config: dict[str, Any]) -> None:
    assert_refused(place, forge_model(described(format=5, config=config)))


def test_what_may_be_absent_is_none(place: Path) -> None:
    header = read(place, forge_model(described(lmbda=None, quality=None)))
    assert (header.lmbda, header.quality) == (None, None)


def test_a_file_that_safetensors_wrote(place: Path, tiny_network: SlimCAE) -> None:
    """Return tensors of all kinds in the model, in the library's order and padding."""
    tensors = dict(tiny_network.state_dict())
    tensors["g_a.conv1.weight"] = tensors["g_a.conv1.weight"].half()
    tensors["tables.8.counts"] = torch.zeros(7, dtype=torch.int32)
    facts = described(
        config={"widths": [12, 8, 4], "gdn": "switchable"},
        lmbda=None,
        quality=None,
        entropy_models={key: ["tables"] for key in ("12", "8", "4")},
        fingerprints=dict.fromkeys(("12", "8", "4"), "00" * 8),
    )
    safetensors.torch.save_file(tensors, place, metadata={"slimcae": json.dumps(facts)})
    header = read_model_header(place)
    assert header.parameters == sum(p.numel() for p in tiny_network.parameters())
    assert header.bytes == place.stat().st_size


def test_every_truncation_and_every_byte_too_many_is_refused(place: Path) -> None:
    data = forge_model(described())
    for length in range(len(data)):
        assert_refused(place, data[:length])
    assert_refused(place, data + b"\0")


def test_no_flipped_bit_raises_anything_else(place: Path) -> None:
    data = forge_model(described())
    for position in range(len(data) - 80):
        for bit in (0, 5):
            changed = data[position] ^ 1 << bit
            assert_read_or_refused(place, data[:position] + bytes([changed]) + data[position + 1 :])


@pytest.mark.parametrize(
    "change",
    [
        {"format": None},
        {"format": True},
        {"format": [2]},
        {"name": ""},
        {"name": "a" * 25},
        {"name": "µ"},
        {"name": "two\nlines"},
        {"name": 3},
        {"version": 3},
        {"version": "\x1b[31m"},
        {"version": "1" * 33},
        {"config": None},
        {"config": {"widths": [8, 12], "gdn": "switchable"}},
        {"config": {"widths": [12, 9], "gdn": "switchable"}},
        {"config": {"widths": "12", "gdn": "switchable"}},
        {"config": {"widths": [12, 8], "gdn": ["slim"]}},
        {"config": {"widths": [], "gdn": "slim"}},
        {"lmbda": [1.0]},
        {"lmbda": [1.0, "2"]},
        {"lmbda": [1.0, 10**400]},
        {"lmbda": 5},
        {"fingerprints": {"12": "00112233445566ff"}},
        {"fingerprints": {"12": "00112233445566ff", "8": "8899"}},
        {"fingerprints": {"12": "00112233445566ff", "8": "8899aabbccddee  "}},
        {"fingerprints": {"12": "00112233445566ff", "8": 7}},
        {"fingerprints": []},
        {"steps": []},
        {"steps": [0.5, 1.0, 2.0]},
        {"steps": [1.0, 0.0, 2.0]},
        {"steps": [1.0, -1.0, 2.0]},
        {"steps": [1.0, 0.5, 0.5]},
        {"steps": [1.0, float("nan"), 2.0]},
        {"steps": [1.0, float("inf"), 2.0]},
        {"steps": [1.0, True, 2.0]},
        {"steps": [1.0, *(2.0 + k for k in range(256))], "quality": None},
        {"steps": [1.0, 0.5]},  # fewer than the quality scale has
        {"quality": []},
        {"quality": {}},
        {"quality": {"bpp": {"12": [1, 2, 3], "8": [1, 2, 3]}}},
        {"quality": {"bpp": {"12": [1, 2, 3]}, "psnr": {"12": [1, 2, 3]}}},
        {"training": [1]},
    ],
    ids=str,
)
def test_metadata_that_cannot_be_are_refused(place: Path, change: dict[str, Any]) -> None:
    read(place, forge_model(described()))
    assert_refused(place, forge_model(described(**change)))


@pytest.mark.parametrize("key", described())
def test_missing_metadata_are_refused(place: Path, key: str) -> None:
    facts = described()
    del facts[key]
    assert_refused(place, forge_model(facts), "not a slimcae model file")


@pytest.mark.parametrize("number", [1, 2, 3, 7, 10**30])
def test_another_format_is_named(place: Path, number: int) -> None:
    assert_refused(
        place, forge_model(described(format=number)), str(number)[:20], "reads formats 4 to 6"
    )


@pytest.mark.parametrize(
    "places",
    [
        {"a": tensor(0, 80, [21])},
        {"a": tensor(0, 80, [20], "F99")},
        {"a": tensor(0, 80, [20], "F16")},
        {"a": tensor(0, 40, [10])},  # the rest belongs to no tensor
        {"a": tensor(4, 80, [19])},
        {"a": tensor(0, 40, [10]), "b": tensor(44, 80, [9])},
        {"a": tensor(0, 44, [11]), "b": tensor(40, 80, [10])},
        {"a": tensor(0, 84, [21])},
        {"a": tensor(80, 0, [20])},
        {"a": tensor(0, 80, [-20])},
        {"a": tensor(0, 80, [-4, -5])},
        {"a": tensor(0, 80, [True] * 8 + [20])},
        {"a": tensor(0, 80, [10**1000] * 1000)},
        {"a": tensor(0, 80, [20.0])},  # type: ignore[list-item]
        {"a": tensor(0, 80, "20")},  # type: ignore[arg-type]
        {"a": tensor(0, 80, [[20]])},  # type: ignore[list-item]
        {"a": {"dtype": "F32", "shape": [20], "data_offsets": [80]}},
        {"a": {"dtype": ["F32"], "shape": [20], "data_offsets": [0, 80]}},
        {"a": {"dtype": "F32", "shape": [20]}},
        {"a": 5},
        {},
    ],
    ids=lambda places: str(places)[:60],
)
def test_tensors_that_do_not_fill_the_file_are_refused(place: Path, places: dict[str, Any]) -> None:
    read(place, forge_model(described(), {"a": tensor(0, 80, [20])}))
    assert_refused(place, forge_model(described(), places))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(8),
        b"\xff" * 8 + b"{}",
        (10**8).to_bytes(8, "little") + b"{",
        forge(b"[" * 100_000),
        forge(b'{"a":' * 100_000),
        forge(b"null"),
        forge(b"\xff\xfe{}"),
        forge(b'{"__metadata__": 5}'),
        forge({"__metadata__": {"slimcae": 5}, **TENSORS}),
        forge({"__metadata__": {"other": "{}"}, **TENSORS}),
        forge(b"9" * 5000),
        *(forge_model(text) for text in ("", "{", "[]", "3", "null", "{}", "[" * 100_000)),
    ],
    ids=lambda data: str(data[:20]),
)
def test_files_of_others_are_refused(place: Path, data: bytes) -> None:
    assert_refused(place, data, "not a slimcae model file")


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model file at .*absent: give"):
        read_model_header(tmp_path / "absent")
    with pytest.raises(ModelError, match="cannot be read"):
        read_model_header(tmp_path)


@settings(max_examples=300)
@given(data=st.binary(max_size=200))
def test_any_bytes(place: Path, data: bytes) -> None:
    assert_refused(place, data)
    assert_refused(place, forge(data))


@settings(max_examples=300)
@given(key=st.sampled_from(list(described())), value=JSON)
def test_any_value_in_the_metadata(place: Path, key: str, value: Any) -> None:
    assert_read_or_refused(place, forge_model(described(**{key: value})))


@settings(max_examples=300)
@given(key=st.sampled_from(["dtype", "shape", "data_offsets"]), value=JSON)
def test_any_value_in_a_tensor(place: Path, key: str, value: Any) -> None:
    changed = {"a": tensor(0, 80, [20]) | {key: value}}
    assert_read_or_refused(place, forge_model(described(), changed))


def test_reading_needs_no_torch() -> None:
    program = "import sys, slimcae.model.header, slimcae.model.registry, slimcae.model.cost; " + (
        "sys.exit(bool({'torch', 'numpy', 'PIL'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=HANG).returncode == 0
