"""Model files of the architecture `light`: whole ones, forged ones, and what no width can be."""

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


def rewrite(path: Path, *, config: Any = None, **tensors: np.ndarray | None) -> None:
    """Change what the file says, or its tensors (None: leave it out); fingerprints stay."""
    arrays = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, "np") as file:
        facts = json.loads(file.metadata()[METADATA_KEY])
    if config is not None:
        facts["config"] = config
    for name, array in tensors.items():
        name = name.replace("__", ".")
        arrays.pop(name, None)
        if array is not None:
            arrays[name] = array
    safetensors.numpy.save_file(arrays, path, {METADATA_KEY: json.dumps(facts)})


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
    kernels = [name for name in model.architecture.tensors() if name.endswith(".weight")]
    assert {stored[name].dtype for name in kernels} == {np.dtype(np.float16)}


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
    "config",
    [
        {"architecture": "light", "widths": [16, 8, 4]},
        {"architecture": "light", "widths": [12, 8]},
        {"architecture": "light", "widths": [12, 8, 2]},
        {"architecture": "light", "widths": [12, 8, 4, 10**9]},
        {"architecture": "slimcae", "widths": [12, 8, 4]},
    ],
)
def test_another_configuration_is_refused(saved: Path, config: dict[str, Any]) -> None:
    rewrite(saved, config=config)
    with pytest.raises(ModelError):
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
    with pytest.raises(ConfigError, match=r"'heavy'.*slimcae, light"):
        SlimCAEConfig((8, 4), architecture="heavy")  # type: ignore[arg-type]
