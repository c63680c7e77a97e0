"""What a model file says about itself, read without torch from the head of its safetensors."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimcae.errors import ModelError

FORMAT = 1
"""As slimcae.model.checkpoint has it, which imports torch; a test compares them."""
MAX_HEADER_BYTES = 100_000_000
"""The limit that safetensors sets itself."""
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class ModelHeader:
    """A model file's description.

    fingerprints: of each width, as 16 hex digits.
    parameters: trained numbers; tables and medians, which are made of them, do not count.
    """

    name: str
    version: str
    widths: tuple[int, ...]
    gdn: str
    lmbda: tuple[float, ...] | None
    training: dict[str, Any]
    fingerprints: dict[str, str]
    parameters: int
    bytes: int


def looks_like_safetensors(head: bytes) -> bool:
    """Whether the first 9 bytes of a file or more are those of a safetensors file."""
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    return head[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{" and 2 <= length <= MAX_HEADER_BYTES


def read_model_header(path: Path) -> ModelHeader:
    """The description that a model file holds.

    Raises:
        ModelError: missing, damaged, or not a model file of this program.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_LENGTH_BYTES)
            length = int.from_bytes(head, "little")
            if len(head) < _LENGTH_BYTES or length > min(MAX_HEADER_BYTES, size - _LENGTH_BYTES):
                raise ValueError("its header is incomplete")
            tensors = json.loads(file.read(length))
        end = max(
            (tensor["data_offsets"][1] for name, tensor in tensors.items() if name[:2] != "__"),
            default=0,
        )
        if size != _LENGTH_BYTES + length + end:
            raise ValueError("the file is truncated")
        described = json.loads(tensors.pop("__metadata__")["slimcae"])
        if described["format"] != FORMAT:
            raise ModelError(
                f"{path} has model format {described['format']!r}, this slimcae reads {FORMAT}: "
                "install a matching version"
            )
        return _model_header(described, tensors, size)
    except FileNotFoundError as error:
        raise ModelError(
            f"no model file at {path}: give a file that `slimcae train` wrote"
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{path} is not a slimcae model file, or a damaged one: "
            "give a model.safetensors that `slimcae train` wrote"
        ) from error


def _model_header(described: Any, tensors: dict[str, Any], size: int) -> ModelHeader:
    lmbda = described["lmbda"]
    fingerprints = described["fingerprints"]
    return ModelHeader(
        name=str(described["name"]),
        version=str(described["version"]),
        widths=tuple(int(width) for width in described["config"]["widths"]),
        gdn=str(described["config"]["gdn"]),
        lmbda=None if lmbda is None else tuple(float(value) for value in lmbda),
        training=dict(described["training"]),
        fingerprints={str(width): str(digits) for width, digits in fingerprints.items()},
        parameters=sum(
            math.prod(int(side) for side in tensor["shape"])
            for name, tensor in tensors.items()
            if not name.startswith("tables.") and not name.endswith(".medians")
        ),
        bytes=size,
    )
