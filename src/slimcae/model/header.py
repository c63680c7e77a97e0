"""The description of a model file, read from the header of the safetensors file. No torch.

Layout in docs/format.md, "Model files".
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from slimcae.errors import ConfigError, ModelError
from slimcae.model.config import SlimCAEConfig

PAPER_FORMAT = 4
"""Version of model files with architecture and method `slimcae`."""
NAMED_FORMAT = 5
"""Version of model files that name another architecture."""
METHOD_FORMAT = 6
"""Version of model files that name a method other than `slimcae`, and the architecture."""
FORMATS = (PAPER_FORMAT, NAMED_FORMAT, METHOD_FORMAT)
METADATA_KEY = "slimcae"
MODEL_NAME = "model.safetensors"
"""File name of the model in a run folder."""
TRAINING_PREFIX = "training."
"""Prefix of the names of tensors that only training uses."""
MAX_NAME = 24
"""Longest name of a model in characters; every `.scae` file contains the name."""
MAX_VERSION = 32
MAX_STEPS = 256
MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors format."""

_LENGTH_BYTES = 8
_HEAD_BYTES = 64
_ELEMENT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1}
_ELEMENT_BYTES |= {"U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}
_MAX_DIMENSIONS = 8

Quality = dict[int, tuple[tuple[float, float], ...]]


@dataclass(frozen=True)
class ModelHeader:
    """The description of a model file.

    steps: the quantisation steps Δ; the first is 1.
    quality: mean bits per pixel and PSNR in dB on validation images, for each operating point and
        step; None before `slimcae fit`.
    fingerprints: 16 hex digits for each operating point.
    entropy_models: the kinds of each operating point; the kind with the smallest files is first.
    parameters: number of trained parameters of transforms and densities, without derived arrays
        such as medians and entropy models.
    bytes: size of the file.
    """

    name: str
    version: str
    config: SlimCAEConfig
    lmbda: tuple[float, ...] | None
    steps: tuple[float, ...]
    quality: Quality | None
    training: dict[str, Any]
    fingerprints: dict[str, str]
    entropy_models: dict[int, tuple[str, ...]]
    parameters: int
    bytes: int

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters per layer of each operating point, best point first."""
        return self.config.widths

    @property
    def points(self) -> tuple[int, ...]:
        """The number of each operating point, best first; see `SlimCAEConfig.points`."""
        return self.config.points

    def point_of(self, num_filters: int, fingerprint: str) -> int | None:
        """Return the operating point that a `.scae` header names, or None if another model made it.

        fingerprint: as hex digits.
        """
        fitting = (p for p in self.points if self.config.filters(p) == num_filters)
        return next((p for p in fitting if self.fingerprints[str(p)] == fingerprint), None)


def format_of(config: SlimCAEConfig) -> int:
    """Return the lowest version of model files that can hold a configuration."""
    if config.method != "slimcae":
        return METHOD_FORMAT
    return PAPER_FORMAT if config.architecture == "slimcae" else NAMED_FORMAT


def config_to_json(config: SlimCAEConfig) -> dict[str, Any]:
    """Return the configuration as a model file stores it."""
    if config.method != "slimcae":
        found = {"method": config.method, "architecture": config.architecture}
        gdn = {"gdn": config.gdn} if config.architecture == "slimcae" else {}
        return {**found, "widths": list(config.widths), **gdn}
    if config.architecture == "slimcae":
        return {"widths": list(config.widths), "gdn": config.gdn}
    return {"architecture": config.architecture, "widths": list(config.widths)}


def _config(value: Any, version: int) -> SlimCAEConfig:
    found = _object(value)
    widths = tuple(_list(found["widths"]))
    if version == PAPER_FORMAT:
        return SlimCAEConfig(widths, found["gdn"])
    if version == METHOD_FORMAT:
        if found["method"] == "slimcae" or ("gdn" in found) != (found["architecture"] == "slimcae"):
            raise ValueError("the configuration belongs to another format version")
        gdn = found.get("gdn", "switchable")
        return SlimCAEConfig(widths, gdn, found["architecture"], found["method"])
    if found["architecture"] == "slimcae" or "gdn" in found:
        raise ValueError(f"the configuration belongs to format {PAPER_FORMAT}")
    return SlimCAEConfig(widths, architecture=found["architecture"])


def looks_like_safetensors(head: bytes) -> bool:
    """Return whether the first bytes of a file, at least 9, look like a safetensors file."""
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    return head[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{" and 2 <= length <= MAX_HEADER_BYTES


def read_model_header(path: Path) -> ModelHeader:
    """Read the description of a model file; of the tensors, only the offsets are checked.

    Raises:
        ModelError: The file is missing, damaged, or not a SlimCAE model file.
    """
    head = b""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(_LENGTH_BYTES)
            length = int.from_bytes(head[:_LENGTH_BYTES], "little")
            if len(head) < _LENGTH_BYTES or length > min(MAX_HEADER_BYTES, size - _LENGTH_BYTES):
                raise ValueError("its header is incomplete")
            tensors = _object(json.loads(file.read(length)))
        described = _object(json.loads(_object(tensors.pop("__metadata__"))[METADATA_KEY]))
        found = described["format"]
        if type(found) is not int or found not in FORMATS:
            raise ModelError(
                f"{path} has model format {str(found)[:20]}, but this slimcae reads formats "
                f"{FORMATS[0]} to {FORMATS[-1]}: install a matching version, or train it again"
            )
        _check_places(tensors, size - _LENGTH_BYTES - length)
        return _model_header(described, tensors, size)
    except FileNotFoundError as error:
        raise ModelError(f"no model file at {path}: give a file that training wrote") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, ConfigError) as error:
        raise ModelError(
            f"{path} is not a slimcae model file ({_kind(head)}): "
            "give a model.safetensors that training wrote"
        ) from error


def _kind(head: bytes) -> str:
    """Describe a foreign file by its first bytes."""
    if not head:
        return "it is empty"
    # a safetensors file may begin with 80 as well, as the length of its header (below 2**32)
    if head.startswith(b"PK") or (head.startswith(b"\x80") and any(head[4:8])):
        return "it looks like a PyTorch pickle, which slimcae never loads"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself"
    return "it is damaged, or another program wrote it"


def _check_places(tensors: Mapping[str, Any], size: int) -> None:
    """Check that the tensors fill `size` bytes without gaps, and that offsets match shapes."""
    places = []
    for tensor in tensors.values():
        begin, end = tensor["data_offsets"]
        shape = _list(tensor["shape"])
        if not 0 <= _whole(begin) <= _whole(end) <= size:
            raise ValueError("the file is truncated")
        # bounded first, because forged shapes could have a gigantic product
        if len(shape) > _MAX_DIMENSIONS or any(not 0 <= _whole(side) <= size for side in shape):
            raise ValueError("a shape is too large for the file")
        if end - begin != math.prod(shape) * _ELEMENT_BYTES[tensor["dtype"]]:
            raise ValueError("a shape does not match its bytes")
        places.append((begin, end))
    ends = [(0, 0), *sorted(places), (size, size)]
    if any(end != begin for (_, end), (begin, _) in pairwise(ends)):
        raise ValueError("tensors have gaps or overlap, or the file is truncated")


def _model_header(described: dict[str, Any], tensors: dict[str, Any], size: int) -> ModelHeader:
    name, version = _text(described["name"]), _text(described["version"])
    if not (1 <= len(name) <= MAX_NAME and name.isascii() and len(version) <= MAX_VERSION):
        raise ValueError("the name or version is invalid")
    config = _config(described["config"], described["format"])
    points = config.points
    lmbda = described["lmbda"]
    steps = tuple(_numbers(described["steps"]))
    if not (1 <= len(steps) <= MAX_STEPS and steps[0] == 1 and min(steps) > 0):
        raise ValueError("the steps are invalid")
    if len(set(steps)) < len(steps):
        raise ValueError("a step appears twice")
    fingerprints = _object(described["fingerprints"])
    if fingerprints.keys() != {str(point) for point in points}:
        raise ValueError("fingerprints must be those of the widths")
    entropy_models = _kinds(described["entropy_models"], points)
    made = (TRAINING_PREFIX, *(f"{kind}." for kinds in entropy_models.values() for kind in kinds))
    return ModelHeader(
        name=name,
        version=version,
        config=config,
        lmbda=None if lmbda is None else tuple(_numbers(lmbda, len(points))),
        steps=steps,
        quality=_quality(described["quality"], points, len(steps)),
        training=_object(described["training"]),
        fingerprints={str(point): _hex_digits(fingerprints[str(point)]) for point in points},
        entropy_models=entropy_models,
        parameters=sum(
            math.prod(tensor["shape"])
            for name, tensor in tensors.items()
            if not name.startswith(made) and not name.endswith(".medians")
        ),
        bytes=size,
    )


def _quality(value: Any, widths: tuple[int, ...], num_steps: int) -> Quality | None:
    if value is None:
        return None
    bpp, psnr = _object(_object(value)["bpp"]), _object(value["psnr"])
    return {
        width: tuple(
            zip(
                _numbers(bpp[str(width)], num_steps),
                _numbers(psnr[str(width)], num_steps),
                strict=True,
            )
        )
        for width in widths
    }


def _kinds(value: Any, widths: tuple[int, ...]) -> dict[int, tuple[str, ...]]:
    found = _object(value)
    if found.keys() != {str(width) for width in widths}:
        raise ValueError("entropy models must be those of the widths")
    kinds = {width: tuple(map(_text, _list(found[str(width)]))) for width in widths}
    if any(not names or len(set(names)) < len(names) for names in kinds.values()):
        raise ValueError("a width has no entropy model, or the same kind twice")
    return kinds


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("not a JSON object")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a JSON list")
    return value


def _text(value: Any) -> str:
    if not (isinstance(value, str) and value.isprintable()):
        raise ValueError("not a single line of text")
    return value


def _hex_digits(value: Any) -> str:
    if len(bytes.fromhex(_text(value))) != 8 or len(value) != 16:
        raise ValueError("not a fingerprint")
    return str(value).lower()


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not a whole number")
    return value


def _numbers(value: Any, length: int | None = None) -> list[float]:
    numbers = _list(value)
    if length not in (None, len(numbers)) or any(isinstance(x, bool | str) for x in numbers):
        raise ValueError("a list of numbers has the wrong length")
    found = [float(x) for x in numbers]
    if not all(math.isfinite(x) and x >= 0 for x in found):
        raise ValueError("a number is negative or not finite")
    return found
