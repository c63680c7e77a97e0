"""Model files: safetensors with the configuration inside, enough to rebuild a model alone.

Saving builds the coding tables; loading never does. Layout in docs/format.md, "Model files".
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from slimcae.coding.contexts import ARRAYS, Contexts, from_arrays, to_arrays
from slimcae.errors import ModelError
from slimcae.files import write_bytes
from slimcae.model.config import ModelInfo, SlimCAEConfig
from slimcae.model.gdn import SlimmableGDN
from slimcae.model.header import FORMAT, METADATA_KEY, MODEL_NAME, Quality, read_model_header
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
            tensors[_of_width(key, width)] = torch.from_numpy(array)
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
    content = safetensors.torch.save(tensors, metadata={METADATA_KEY: json.dumps(metadata)})
    write_bytes(path, content)


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
    header = read_model_header(path)
    try:
        model = SlimCAE(SlimCAEConfig(header.widths, header.gdn), initialise=False)
        model.info = ModelInfo(
            header.name, header.version, header.lmbda, header.training, header.quality
        )
        model.steps = header.steps
        tensors = safetensors.torch.load_file(path)
        for width in model.widths:
            arrays = {
                key: tensors.pop(_of_width(key, width)).numpy()
                for key in ARRAYS
                if _of_width(key, width) in tensors
            }
            model.tables[width] = _tables(arrays, width, len(model.steps))
        state = {name: tensor.float() for name, tensor in tensors.items()}
        _check_tensors(state, model)
        model.load_state_dict(state, assign=True)
        _check_fingerprints(model, header.fingerprints)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except (safetensors.SafetensorError, TypeError, ValueError, RuntimeError) as error:
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
    arrays |= to_arrays(model.tables[width])
    arrays["steps"] = np.array(model.steps, np.float32)
    for name, array in sorted(arrays.items()):
        little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{name} {little_endian.dtype.str} {array.shape}\n".encode())
        digest.update(little_endian.reshape(-1).view(np.uint8).data)
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


def _of_width(key: str, width: int) -> str:
    """As in `tables.48.counts`."""
    kind, _, name = key.partition(".")
    return f"{kind}.{width}.{name}"


def _tables(arrays: Mapping[str, NDArray[Any]], width: int, steps: int) -> tuple[Contexts, ...]:
    tables = from_arrays(arrays)
    if len(tables) != steps or tables[0].num_channels != width:
        raise ValueError(
            f"contexts of {len(tables)} steps and {tables[0].num_channels} channels "
            f"for {steps} steps and {width} channels"
        )
    return tables


def _quality_to_json(quality: Quality) -> dict[str, dict[str, list[float]]]:
    return {
        key: {str(width): [point[k] for point in points] for width, points in quality.items()}
        for k, key in enumerate(("bpp", "psnr"))
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
    with ThreadPoolExecutor() as pool:  # hashing leaves other threads alone
        found = pool.map(lambda width: fingerprint(model, width).hex(), model.widths)
    for width, actual in zip(model.widths, found, strict=True):
        if actual != expected[str(width)]:
            raise ValueError(f"the fingerprint of width {width} does not match its tensors")
