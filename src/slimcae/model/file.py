"""Model files: safetensors with the configuration in the metadata, complete without other files.

Layout in docs/format.md, "Model files".
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from slimcae.coding.entropy import EntropyModel
from slimcae.coding.entropy_models import entropy_model_of
from slimcae.errors import ModelError, checked_bool
from slimcae.files import write_bytes
from slimcae.model.architecture import architecture_of
from slimcae.model.config import ModelInfo
from slimcae.model.density import density_tensors
from slimcae.model.header import (
    METADATA_KEY,
    MODEL_NAME,
    TRAINING_PREFIX,
    Quality,
    config_to_json,
    format_of,
    read_model_header,
)
from slimcae.model.model import Model, density_prefix

Arrays = Mapping[str, NDArray[Any]]


def read_model(path: str | Path) -> Model:
    """Read a model file of any name, or the model of a run folder.

    Raises:
        ModelError: The file is missing, damaged, or not a SlimCAE model file.
    """
    path = Path(path)
    if path.is_dir():
        path /= MODEL_NAME
    header = read_model_header(path)
    try:
        config = header.config
        info = ModelInfo(header.name, header.version, header.lmbda, header.training, header.quality)
        arrays = dict(safetensors.numpy.load_file(path))
        architecture, steps = architecture_of(config), len(header.steps)
        entropy_models = {}
        for width, kinds in header.entropy_models.items():
            channels = architecture.latent_channels(config.filters(width))
            entropy_models[width] = {
                kind: _entropy_model(arrays, kind, width, steps, channels) for kind in kinds
            }
        training = _training_tensors(arrays)
        half = np.dtype(np.float16)
        tensors = {
            name: array if array.dtype == half else array.astype(np.float32, copy=False)
            for name, array in arrays.items()
        }
        model = Model(config, tensors, entropy_models, header.steps, info, training)
        _check_tensors(model)
        _check_fingerprints(model, header.fingerprints)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except (safetensors.SafetensorError, TypeError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"{path} is a damaged model file: {reason}") from error
    return model


def write_model(path: Path, model: Model, *, half: bool = False) -> None:
    """Write a model file.

    half: store kernels and γ as float16; they must be representable exactly (see `halved`).

    Raises:
        ModelError: Weights are not finite, or `half` is set and float16 cannot represent them.
        OSError: The file cannot be written.
    """
    large = _large(model) if checked_bool("half", half) else ()
    arrays: dict[str, NDArray[Any]] = {}
    for name, tensor in model.tensors.items():
        stored = _to_half(tensor) if name in large else tensor.astype(np.float32, copy=False)
        if not np.isfinite(stored).all():
            raise ModelError(f"{path} was not written: {name} has values that are not finite")
        if not np.array_equal(stored, tensor):  # rounding here would change the fingerprints
            raise ModelError(f"{path} was not written: {name} has values that float16 cannot store")
        arrays[name] = np.ascontiguousarray(stored)
    for width, entropy_models in model.entropy_models.items():
        for kind, entropy_model in entropy_models.items():
            for key, array in entropy_model.to_arrays().items():
                arrays[f"{kind}.{width}.{key}"] = np.ascontiguousarray(array)
    for name, tensor in model.training_tensors.items():
        if not np.isfinite(tensor).all():
            raise ModelError(f"{path} was not written: {name} has values that are not finite")
        arrays[TRAINING_PREFIX + name] = np.asarray(tensor, order="C")
    info = model.info
    metadata = {
        "format": format_of(model.config),
        "name": info.name,
        "version": info.version,
        "config": config_to_json(model.config),
        "steps": list(model.steps),
        "entropy_models": {str(p): list(kinds) for p, kinds in model.entropy_models.items()},
        "lmbda": None if info.lmbda is None else list(info.lmbda),
        "quality": None if info.quality is None else _quality_to_json(info.quality),
        "fingerprints": {str(point): model.fingerprint(point).hex() for point in model.points},
        "training": info.training,
    }
    write_bytes(path, safetensors.numpy.save(arrays, metadata={METADATA_KEY: json.dumps(metadata)}))


def halved(model: Model) -> Model:
    """Return a model whose kernels and γ are rounded to float16 values."""
    large = _large(model)
    tensors = {
        name: _to_half(tensor).astype(np.float32) if name in large else tensor
        for name, tensor in model.tensors.items()
    }
    return replace(model, tensors=tensors)


def _large(model: Model) -> frozenset[str]:
    """The tensors that make a model file large: kernels and γ."""
    names = model.architecture.tensors()
    return frozenset(name for name in names if name.endswith((".weight", ".gamma")))


def _to_half(tensor: NDArray[Any]) -> NDArray[np.float16]:
    """Round to float16; values that are too large become infinite."""
    with np.errstate(over="ignore"):
        return tensor.astype(np.float16)


def _entropy_model(
    arrays: dict[str, NDArray[Any]], kind: str, width: int, steps: int, channels: int
) -> EntropyModel:
    """Pop the arrays of one entropy model from the arrays of the file, and build it."""
    own = _taken(arrays, f"{kind}.{width}.")
    try:
        model = entropy_model_of(kind, own)
    except ValueError as error:
        raise ValueError(f"{kind} of width {width}: {error}") from error
    if model.num_steps != steps or model.num_channels != channels:
        raise ValueError(
            f"{kind} has {model.num_steps} steps and {model.num_channels} channels: must have "
            f"{steps} steps and {channels} channels"
        )
    return model


def _training_tensors(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """Pop the tensors that only training uses from the arrays of the file."""
    found = _taken(arrays, TRAINING_PREFIX)
    for name, tensor in found.items():
        if tensor.dtype not in (np.float32, np.float16) or not np.isfinite(tensor).all():
            raise ValueError(f"tensor {TRAINING_PREFIX}{name} must be finite float32 or float16")
    return {name: tensor.astype(np.float32, copy=False) for name, tensor in found.items()}


def _taken(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Pop the arrays whose names start with a prefix, and return them without the prefix."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}


def _check_tensors(model: Model) -> None:
    expected = model.architecture.tensors()
    for width in model.points:
        shapes = density_tensors(model.architecture.latent_channels(model.filters(width)))
        expected |= {density_prefix(width) + name: shape for name, shape in shapes.items()}
    for name in sorted(expected.keys() ^ model.tensors.keys()):
        raise ValueError(f"tensor {name} is {'missing' if name in expected else 'unknown'}")
    for name, tensor in model.tensors.items():
        if tensor.shape != expected[name]:
            raise ValueError(f"tensor {name} has shape {tensor.shape}, not {expected[name]}")
        if not np.isfinite(tensor).all():
            raise ValueError(f"tensor {name} has values that are not finite")


def _check_fingerprints(model: Model, expected: Mapping[str, str]) -> None:
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter lock
        found = pool.map(lambda width: model.fingerprint(width).hex(), model.points)
    for width, actual in zip(model.points, found, strict=True):
        if actual != expected[str(width)]:
            raise ValueError(f"the fingerprint of {model.label(width)} does not match its tensors")


def _quality_to_json(quality: Quality) -> dict[str, dict[str, list[float]]]:
    return {
        key: {str(width): [point[k] for point in points] for width, points in quality.items()}
        for k, key in enumerate(("bpp", "psnr"))
    }
