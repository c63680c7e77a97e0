"""Choice of the device, and of the precision that it supports natively."""

import torch

from slimcae.errors import ConfigError
from slimcae.model.config import DEVICES, PRECISIONS


def resolve_device(name: str, index: int = 0) -> torch.device:
    """Return the device for `cpu`, `cuda` (GPU number `index`) or `auto` (a GPU if present).

    Raises:
        ConfigError: The name is unknown, or it is `cuda` and torch sees no GPU.
    """
    if name not in DEVICES:
        raise ConfigError(f"unknown device {name!r}: choose from {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: torch sees no CUDA device here; use cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", index)


def resolve_precision(name: str, device: torch.device) -> str:
    """Return `float32` or `bfloat16`; `auto` is bfloat16 if the device supports it natively.

    Raises:
        ConfigError: The name is unknown, or the device would emulate bfloat16.
    """
    if name not in PRECISIONS:
        raise ConfigError(f"unknown precision {name!r}: choose from {', '.join(PRECISIONS)}")
    if name == "float32":
        return name
    if has_native_bfloat16(device):
        return "bfloat16"
    if name == "bfloat16":
        raise ConfigError(
            "precision bfloat16: this machine would emulate it, up to 80 times slower than "
            "float32 (AVX512-BF16, AMX and newer GPUs support it); choose float32 or auto"
        )
    return "float32"


def has_native_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 convolutions run in hardware on this device.

    The result is False if ONEDNN_MAX_CPU_ISA forbids oneDNN to use the instructions.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    if not (found.get("avx512_bf16") or found.get("amx_bf16")):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
