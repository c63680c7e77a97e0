"""Model files forged by hand, byte by byte, without the code under test and without torch."""

import json
import struct
from pathlib import Path
from typing import Any


def described(**changes: Any) -> dict[str, Any]:
    """Return the metadata of a small valid model file; None as a change stays None."""
    facts: dict[str, Any] = {
        "format": 4,
        "name": "tiny",
        "version": "7",
        "config": {"widths": [12, 8], "gdn": "switchable"},
        "lmbda": [10.5, 3e-5],
        "fingerprints": {"12": "00112233445566ff", "8": "8899aabbccddeeff"},
        "entropy_models": {"12": ["tables", "factorized"], "8": ["tables"]},
        "steps": [1.0, 0.5, 2.0],
        "quality": {
            "bpp": {"12": [1.5, 2, 1], "8": [0.5, 0.75, 0.25]},
            "psnr": {"12": [34, 35, 33], "8": [28, 29, 27]},
        },
        "training": {"step": 7},
    }
    return facts | changes


def tensor(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


TENSORS = {
    "g_a.conv1.weight": tensor(0, 24, [2, 3]),
    "g_a.conv1.bias": tensor(24, 28, [2], "F16"),
    "tables.8.counts": tensor(28, 48, [5], "I32"),
    "entropy_bottlenecks.8.medians": tensor(48, 80, [8]),
}


def forge(head: bytes | dict[str, Any], tail: int = 80) -> bytes:
    """Return a safetensors file of a header (or its JSON) and a number of tensor bytes."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + bytes(tail)


def forge_model(facts: Any, tensors: dict[str, Any] = TENSORS) -> bytes:
    """Return a model file with these facts as its metadata."""
    text = facts if isinstance(facts, str) else json.dumps(facts)
    return forge({"__metadata__": {"slimcae": text}, **tensors})


def save_forged(path: Path, **changes: Any) -> Path:
    path.write_bytes(forge_model(described(**changes)))
    return path
