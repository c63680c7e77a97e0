"""Choice of the library for the transforms: ONNX Runtime, or torch where that is faster."""

import os
from importlib.util import find_spec

from slimcae.errors import ConfigError, MissingPackageError
from slimcae.machine import BFLOAT16_FLAGS, processor_flags

BACKENDS = ("auto", "onnx", "torch")
TORCH_PAYS_AFTER = 40.0
"""Megapixels from which torch with native bfloat16 is faster, including the time of its import."""

_PACKAGES = {"onnx": "onnxruntime", "torch": "torch"}


def choose_backend(
    name: str = "auto",
    *,
    device: str = "cpu",
    precision: str = "auto",
    megapixels: float | None = None,
    architecture: str = "slimcae",
) -> str:
    """Return `onnx` or `torch`.

    name: `auto` selects torch if it is installed and either needed or faster: on a GPU, for
        bfloat16 if `precision` demands it, and for many or large pictures on a processor with
        native bfloat16. Otherwise it selects ONNX Runtime. megapixels: expected amount of pixels;
        None: unknown, which does not favour torch. architecture: architecture of the model; the
        small convolutions of light ones are faster in ONNX Runtime than in torch, even in bfloat16.

    Raises:
        ConfigError: The name is unknown.
        MissingPackageError: The library (or for `auto`, any) is not installed.
    """
    if name not in BACKENDS:
        raise ConfigError(f"unknown backend {name!r}: choose from {', '.join(BACKENDS)}")
    if name == "auto":
        name = "torch" if _prefers_torch(device, precision, megapixels, architecture) else "onnx"
    require(name, "bfloat16 needs" if precision == "bfloat16" else "computes pictures")
    return name


def require(name: str, purpose: str) -> None:
    """Check that the library of a backend, `onnx` or `torch`, is installed.

    Raises:
        MissingPackageError: It is not.
    """
    if not _is_installed(name):
        raise MissingPackageError(_PACKAGES[name], purpose)


def _prefers_torch(
    device: str, precision: str, megapixels: float | None, architecture: str
) -> bool:
    if not _is_installed("onnx") or precision == "bfloat16":
        return True
    if not _is_installed("torch"):
        return False
    if device != "cpu":
        return True
    if architecture != "slimcae":
        return False
    many = megapixels is not None and megapixels >= TORCH_PAYS_AFTER
    return many and precision == "auto" and has_bfloat16()


def has_bfloat16() -> bool:
    """Return whether this processor has native bfloat16, without importing torch.

    Only Linux reports this; the result is False elsewhere.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    if limit and not limit.upper().endswith(("BF16", "FP16", "AMX", "DEFAULT", "ALL")):
        return False
    return bool(processor_flags() & BFLOAT16_FLAGS)


def _is_installed(name: str) -> bool:
    return find_spec(_PACKAGES[name]) is not None
