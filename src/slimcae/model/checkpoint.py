"""Model files: safetensors with the configuration inside, enough to rebuild a model alone.

Saving builds the coding tables; loading never does. Layout in docs/format.md, "Model files".
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.torch import save as serialize
from torch import Tensor

from slimcae.coding.tables import SymbolTables, from_arrays, to_arrays
from slimcae.errors import ConfigError, ModelError
from slimcae.files import write_bytes
from slimcae.model.config import ModelInfo, SlimCAEConfig
from slimcae.model.gdn import SlimmableGDN
from slimcae.model.header import FORMAT, MAX_STEPS, METADATA_KEY, MODEL_NAME
from slimcae.model.layers import SlimmableConv2d, SlimmableConvTranspose2d
from slimcae.model.slimcae import SlimCAE


def save_model(
    path: Path, model: SlimCAE, info: ModelInfo, *, half: bool = False, keep_tables: bool = False
) -> None:
    """Write a model file, ready to code with: medians and tables are built from these weights.

    half: round the kernels to float16 first (in `model` too, since tables and file must agree
        on the same numbers); files are half as large.
    keep_tables: the model's medians and tables are fitted to these very weights: leave them.

    Raises:
        ModelError: weights that are not finite.
        OSError: the file cannot be written.
    """
    if half:
        round_to_half(model)
    broken = [name for name, t in model.state_dict().items() if not torch.isfinite(t).all()]
    if broken:
        raise ModelError(f"{path} was not written: {broken[0]} has values that are not finite")
    if not keep_tables:
        model.update()
    half_names = set(_kernels(model)) if half else set()
    tensors = {
        name: (tensor.half() if name in half_names else tensor).cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }
    for width in model.widths:
        for key, array in to_arrays(model.tables[width]).items():
            tensors[f"tables.{width}.{key}"] = torch.from_numpy(array)
    metadata = {
        "format": FORMAT,
        "name": info.name,
        "version": info.version,
        "config": {"widths": list(model.config.widths), "gdn": model.config.gdn},
        "steps": list(model.steps),
        "lmbda": None if info.lmbda is None else list(info.lmbda),
        "quality": None if info.quality is None else _quality_to_json(info.quality),
        "fingerprints": {str(w): fingerprint(model, w).hex() for w in model.widths},
        "training": info.training,
    }
    write_bytes(path, serialize(tensors, metadata={METADATA_KEY: json.dumps(metadata)}))


def round_to_half(model: SlimCAE) -> None:
    """Round the kernels to float16, in place."""
    with torch.no_grad():
        for tensor in _kernels(model).values():
            tensor.copy_(tensor.half())


def load_model(path: str | Path, device: str | torch.device = "cpu") -> SlimCAE:
    """Read a model file, whatever its name, or the one of a run folder.

    Returns the model with its tables and info, in evaluation mode.

    Raises:
        ModelError: missing, damaged, or not a model file of this program.
    """
    path = Path(path)
    if path.is_dir():
        path /= MODEL_NAME
    metadata, tensors = _read(path)
    try:
        config = SlimCAEConfig(tuple(metadata["config"]["widths"]), metadata["config"]["gdn"])
        lmbda = metadata["lmbda"]
        if lmbda is not None and len(lmbda) != len(config.widths):
            raise ValueError(f"{len(lmbda)} λ for {len(config.widths)} widths")
        model_info = ModelInfo(
            name=str(metadata["name"]),
            version=str(metadata["version"]),
            lmbda=None if lmbda is None else tuple(float(value) for value in lmbda),
            training=dict(metadata["training"]),
            quality=_quality_from_json(metadata["quality"], config.widths),
        )
        model = SlimCAE(config)
        model.steps = _steps(metadata["steps"])
        for width in config.widths:
            prefix = f"tables.{width}."
            arrays = {
                k.removeprefix(prefix): t.numpy()
                for k, t in tensors.items()
                if k.startswith(prefix)
            }
            model.tables[width] = _tables(arrays, width, len(model.steps))
        state = {k: t.float() for k, t in tensors.items() if not k.startswith("tables.")}
        _check_tensors(state, model)
        model.load_state_dict(state, assign=True)
        model.info = model_info
        _check_fingerprints(model, metadata["fingerprints"])
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"{path} is a damaged model file: {reason}") from error
    return model.to(device).eval()


def fingerprint(model: SlimCAE, width: int) -> bytes:
    """The first 8 bytes of the SHA-256 over every tensor and table that `width` uses.

    Kernels count as sliced to the width, numbers as float32 (which holds float16 exactly), so
    that the fingerprint tells models apart and not the ways of storing them.
    """
    digest = hashlib.sha256()
    arrays: dict[str, NDArray[Any]] = {
        name: tensor.detach().float().cpu().contiguous().numpy()
        for name, tensor in _width_tensors(model, width)
    }
    arrays |= {f"tables.{key}": value for key, value in to_arrays(model.tables[width]).items()}
    arrays["steps"] = np.array(model.steps, np.float32)
    for name, array in sorted(arrays.items()):
        little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{name} {little_endian.dtype.str} {array.shape}\n".encode())
        digest.update(little_endian.tobytes())
    return digest.digest()[:8]


def _width_tensors(model: SlimCAE, width: int) -> Iterator[tuple[str, Tensor]]:
    for name, layer in model.named_modules():
        if isinstance(layer, SlimmableConv2d | SlimmableConvTranspose2d):
            inputs = 3 if name == "g_a.conv1" else width
            outputs = 3 if name == "g_s.deconv3" else width
            weight, bias = layer.slice(inputs, outputs)
            yield f"{name}.weight", weight
            if bias is not None:
                yield f"{name}.bias", bias
        elif isinstance(layer, SlimmableGDN):
            for key, tensor in layer.own_parameters(width).items():
                yield f"{name}.{key}", tensor
    for name, tensor in model.entropy_bottleneck(width).state_dict().items():
        yield f"entropy_bottleneck.{name}", tensor


def _kernels(model: SlimCAE) -> dict[str, Tensor]:
    """The tensors that make a model file large: kernels and γ."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.startswith(("g_a.", "g_s.")) and parameter.ndim > 1
    }


def _tables(arrays: Mapping[str, NDArray[Any]], width: int, steps: int) -> tuple[SymbolTables, ...]:
    tables = from_arrays(arrays)
    if len(tables) != steps or tables[0].num_channels != width:
        raise ValueError(
            f"tables of {len(tables)} steps and {tables[0].num_channels} channels "
            f"for {steps} steps and {width} channels"
        )
    return tables


def _steps(values: list[Any]) -> tuple[float, ...]:
    steps = tuple(float(value) for value in values)
    fit = all(math.isfinite(step) and step > 0 for step in steps)
    if not (
        fit and 1 <= len(steps) <= MAX_STEPS and steps[0] == 1 and len(set(steps)) == len(steps)
    ):
        raise ValueError(
            f"quantisation steps {values}: must be positive, each once, and begin with 1"
        )
    return steps


def _quality_to_json(
    quality: dict[int, tuple[tuple[float, float], ...]],
) -> dict[str, dict[str, list[float]]]:
    return {
        key: {str(width): [point[k] for point in points] for width, points in quality.items()}
        for k, key in enumerate(("bpp", "psnr"))
    }


def _quality_from_json(
    values: Any, widths: tuple[int, ...]
) -> dict[int, tuple[tuple[float, float], ...]] | None:
    if values is None:
        return None
    return {
        width: tuple(
            (float(bpp), float(psnr))
            for bpp, psnr in zip(values["bpp"][str(width)], values["psnr"][str(width)], strict=True)
        )
        for width in widths
    }


def _check_tensors(found: Mapping[str, Tensor], model: SlimCAE) -> None:
    expected = model.state_dict()
    for name in expected.keys() ^ found.keys():
        raise ValueError(f"tensor {name} is {'missing' if name in expected else 'unknown'}")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(
                f"tensor {name} has shape {tuple(tensor.shape)}, not {tuple(expected[name].shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise ValueError(f"tensor {name} has values that are not finite")


def _check_fingerprints(model: SlimCAE, expected: Mapping[str, str]) -> None:
    for width in model.widths:
        if fingerprint(model, width).hex() != expected[str(width)]:
            raise ValueError(f"the fingerprint of width {width} does not match its tensors")


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise ModelError(f"no model file at {path}: give a file that `slimcae train` wrote")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})[METADATA_KEY])
            version = metadata["format"]
            if version != FORMAT:
                raise ModelError(
                    f"{path} has model format {version!r}, this slimcae reads format {FORMAT}: "
                    "install a matching version"
                )
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except (
        safetensors.SafetensorError, KeyError, TypeError, ValueError, RecursionError
    ) as error:  # fmt: skip
        raise ModelError(
            f"{path} is not a slimcae model file ({_kind(path)}): "
            "give a model.safetensors that `slimcae train` wrote"
        ) from error


def _kind(path: Path) -> str:
    """What a foreign file seems to be, in words."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "it is empty"
    if head.startswith((b"PK", b"\x80")):
        return "it looks like a PyTorch pickle, which slimcae never loads"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself"
    return "it is damaged, or of another program"
