"""Test model files of the architecture `light`: valid, forged, and with invalid widths."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from slimcae.errors import ConfigError, ModelError
from slimcae.model.config import ModelInfo, SlimCAEConfig
from slimcae.model.file import halved, read_model, write_model
from slimcae.model.header import METADATA_KEY, read_model_header
from slimcae.model.model import Model
from slimcae.networks.conversion import to_model, to_network
from slimcae.networks.slimcae import SlimCAE

CONFIG = SlimCAEConfig((12, 8, 4), architecture="light")


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    network = SlimCAE(CONFIG)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return to_model(network, ModelInfo("light", "1"), steps=(1.0, 0.5))


@pytest.fixture
def saved(model: Model, tmp_path: Path) -> Path:
    write_model(tmp_path / "model.safetensors", model)
    return tmp_path / "model.safetensors"


def rewrite(path: Path, **tensors: np.ndarray | None) -> None:
    """Change tensors of a file (None removes one), and keep its metadata."""
    arrays = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
    for name, array in tensors.items():
        name = name.replace("__", ".")
        arrays.pop(name, None)
        if array is not None:
            arrays[name] = array
    safetensors.numpy.save_file(arrays, path, metadata)


def test_a_file_holds_the_model(model: Model, saved: Path) -> None:
    found = read_model(saved)
    assert found.config == CONFIG
    assert {w: found.fingerprint(w) for w in found.widths} == {
        w: model.fingerprint(w) for w in model.widths
    }
    for name, tensor in model.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], tensor)
    header = read_model_header(saved)
    assert header.config == CONFIG
    densities = sum(
        tensor.size
        for name, tensor in model.tensors.items()
        if name.startswith("entropy") and not name.endswith("medians")
    )
    assert header.parameters == model.architecture.parameters(12) + densities + 2 * sum(
        # biases and scales of the two narrower widths, as wide as the widest's
        np.prod(shape[1:])
        for name, shape in model.architecture.tensors().items()
        if name.endswith((".bias", ".log_scale"))
    )


def test_networks_come_back(model: Model) -> None:
    network = to_network(model)
    again = to_model(network, model.info, steps=model.steps)
    for name, tensor in model.tensors.items():
        if "medians" not in name:
            np.testing.assert_array_equal(again.tensors[name], tensor)


def test_half_files_hold_the_rounded_model(model: Model, tmp_path: Path) -> None:
    half = halved(model)
    write_model(tmp_path / "half", half, half=True)
    assert read_model(tmp_path / "half").fingerprint(8) == half.fingerprint(8)
    stored = safetensors.numpy.load_file(tmp_path / "half")
    halves = {name for name, array in stored.items() if array.dtype == np.float16}
    # biases and scales of each width are small and keep their type
    assert halves == {name for name in model.architecture.tensors() if name.endswith(".weight")}


@pytest.mark.parametrize("name", ["g_a.embed.weight", "g_s.block3.project.bias", "g_s.lap2.bias"])
def test_what_is_missing_or_has_another_shape_is_named(
    model: Model, saved: Path, name: str
) -> None:
    key = name.replace(".", "__")
    rewrite(saved, **{key: model.tensors[name][:-1].copy()})
    with pytest.raises(ModelError, match=name.replace(".", r"\.")):
        read_model(saved)
    rewrite(saved, **{key: None})
    with pytest.raises(ModelError, match=rf"{name} is missing"):
        read_model(saved)
    infinite = model.tensors[name].copy()
    infinite.flat[-1] = np.inf
    rewrite(saved, **{key: infinite})
    with pytest.raises(ModelError, match="not finite"):
        read_model(saved)


@pytest.mark.parametrize("name", ["g_s.render.weight", "g_a.scale.log_scale", "g_s.lap3.bias"])
def test_a_changed_number_breaks_a_fingerprint(model: Model, saved: Path, name: str) -> None:
    changed = model.tensors[name].copy()
    changed.flat[0] += 1
    rewrite(saved, **{name.replace(".", "__"): changed})
    with pytest.raises(ModelError, match="fingerprint"):
        read_model(saved)


@pytest.mark.parametrize(
    ("widest", "words"),
    [
        (16, "12 channels: must have 2 steps and 16"),
        (10**9, "12 channels"),
        (2, "not a slimcae model"),
        (14, "not a slimcae model"),
        (True, "not a slimcae model"),
        (12.0, "not a slimcae model"),
    ],
)
def test_another_widest_width_is_refused(saved: Path, widest: Any, words: str) -> None:
    """Everything else that the file has per width exists for this one."""
    arrays = safetensors.numpy.load_file(saved)
    with safetensors.safe_open(saved, "np") as file:
        facts = json.loads(file.metadata()[METADATA_KEY])
    facts["config"]["widths"][0] = widest
    for key in ("fingerprints", "entropy_models"):
        facts[key][str(widest)] = facts[key].pop("12")
    arrays = {name.replace(".12.", f".{widest}."): array for name, array in arrays.items()}
    safetensors.numpy.save_file(arrays, saved, {METADATA_KEY: json.dumps(facts)})
    with pytest.raises(ModelError, match=words):
        read_model(saved)


def test_every_truncation_is_refused(saved: Path, tmp_path: Path) -> None:
    data = saved.read_bytes()
    cut = tmp_path / "cut"
    for length in [*range(0, 200, 7), *range(200, len(data), 1009)]:
        cut.write_bytes(data[:length])
        with pytest.raises(ModelError):
            read_model(cut)


@pytest.mark.parametrize("widths", [(12, 6), (10,), (8, 4, 2)])
def test_widths_are_multiples_of_four(widths: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="multiples of 4"):
        SlimCAEConfig(widths, architecture="light")


def test_it_has_no_gdn() -> None:
    with pytest.raises(ConfigError, match="no GDN"):
        SlimCAEConfig((8, 4), "slim", "light")


def test_unknown_architectures_are_named() -> None:
    with pytest.raises(ConfigError, match=r"'heavy'.*slimcae, light, lighter, broad, broader"):
        SlimCAEConfig((8, 4), architecture="heavy")  # type: ignore[arg-type]
