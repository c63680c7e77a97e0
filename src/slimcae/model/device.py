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
    """`float32` or `bfloat16`; for `auto` bfloat16 where the device computes it natively.

    Raises:
        ConfigError: another name.
    """
    if name not in PRECISIONS:
        raise ConfigError(f"unknown precision {name!r}: choose from {', '.join(PRECISIONS)}")
    if name == "auto":
        return "bfloat16" if has_native_bfloat16(device) else "float32"
    return name


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions run in hardware; emulated, they are slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    get_capabilities = getattr(torch.cpu, "get_capabilities", None)  # torch ≥ 2.11
    found = get_capabilities() if get_capabilities else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
