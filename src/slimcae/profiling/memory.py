"""How much memory one width takes, measured in processes of their own."""

import ctypes
import gc
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slimcae.errors import ConfigError

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_PROGRAM = "import sys; from slimcae.profiling import memory; print(memory.taken(*sys.argv[1:]))"
RUNS = 2
WARM_UP_SIDE = 32
"""Pixels a side of the picture that is coded before: libraries load, threads start."""


@dataclass(frozen=True)
class PeakMemory:
    """Peak resident bytes beyond what the program held just before, model and libraries loaded."""

    encode: int
    decode: int


def peak_memory(
    model: Path,
    pixels: NDArray[np.uint8],
    width: int,
    *,
    precision: str,
    backend: str = "auto",
    effort: str = "normal",
) -> PeakMemory | None:
    """What one picture (H, W, 3) takes on the processor at one width; None where not measurable.

    Every side runs in fresh processes, since what an allocator keeps after one run hides what the
    next one needs. Each codes a small picture, resets the kernel's high-water mark, and codes the
    picture. The largest of `RUNS` counts: threads make peaks differ. Only Linux can do that.

    Raises:
        ConfigError: a process failed.
    """
    if not (_STATUS.exists() and _RESET.exists()):
        return None
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "pixels.npy")
        np.save(picture, pixels)
        common = [str(model), precision, backend, str(width), effort, folder]
        encode, decode = (
            max(_run(way, *common) for _ in range(RUNS)) for way in ("encode", "decode")
        )
        return PeakMemory(encode, decode)


def _run(*argv: str) -> int:
    package = str(Path(__file__).parents[2])
    paths = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *argv],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        why = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise ConfigError(f"the process that measures memory failed: {why}")
    return int(done.stdout)


def taken(
    way: str, model: str, precision: str, backend: str, width: str, effort: str, folder: str
) -> int:
    """Bytes that one way takes in this process, which should be fresh.

    way: `encode` or `decode`. folder: has the picture's `pixels.npy`; encoding leaves its file
    there, which decoding reads.
    """
    from slimcae.codec import load
    from slimcae.images import Picture

    codec = load(model, precision=precision, backend=backend)
    pixels = np.load(Path(folder, "pixels.npy"))
    file = Path(folder, "picture.scae")
    small = codec.compress(
        Picture(pixels[:WARM_UP_SIDE, :WARM_UP_SIDE].copy()), point=int(width), effort=effort
    )
    codec.decompress(small)
    data = file.read_bytes() if way == "decode" else b""
    _return_free_memory()
    _RESET.write_text("5")  # man 5 proc: resets the peak resident set size
    before = _kilobytes("VmRSS")
    if way == "encode":
        data = codec.compress(Picture(pixels), point=int(width), effort=effort)
    else:
        codec.decompress(data)
    peak = _kilobytes("VmHWM")
    file.write_bytes(data)
    return 1024 * max(0, peak - before)


def _return_free_memory() -> None:
    """Give the system what is free already: a picture that reuses it would seem to take less."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _kilobytes(field: str) -> int:
    found = re.search(rf"{field}:\s*(\d+) kB", _STATUS.read_text())
    assert found is not None
    return int(found[1])
