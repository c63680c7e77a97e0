"""Which processor to run on, and which reduced precision it computes natively."""

import torch

from slimcae.errors import ConfigError
from slimcae.model.config import DEVICES, PRECISIONS


def resolve_device(name: str, index: int = 0) -> torch.device:
    """The device for `cpu`, `cuda` (GPU number `index`), or `auto`: a GPU if there is one.

    Raises:
        ConfigError: another name, or cuda where torch sees none.
    """
    if name not in DEVICES:
        raise ConfigError(f"unknown device {name!r}: choose from {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: torch sees no CUDA device here; use cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", index)


def resolve_precision(name: str, device: torch.device) -> str:
    """Return `float32` or `bfloat16`; `auto` takes bfloat16 where the device computes it natively.

    Raises:
        ConfigError: another name, or bfloat16 on a device that would emulate it.
    """
    if name not in PRECISIONS:
        raise ConfigError(f"unknown precision {name!r}: choose from {', '.join(PRECISIONS)}")
    if name == "float32":
        return name
    if has_native_bfloat16(device):
        return "bfloat16"
    if name == "bfloat16":
        raise ConfigError(
            "precision bfloat16: this machine would emulate it, up to eighty times slower than "
            "float32 (native are AVX512-BF16, AMX and newer GPUs); choose float32 or auto"
        )
    return "float32"


def has_native_bfloat16(device: torch.device) -> bool:
    """Tell whether bfloat16 convolutions run in hardware on this device.

    A processor that has the instructions counts as one without while ONEDNN_MAX_CPU_ISA forbids
    oneDNN to use them.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    if not (found.get("avx512_bf16") or found.get("amx_bf16")):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
