"""Peak memory of one width, measured in separate processes."""

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
from slimcae.model.model import DEFAULT_EFFORT

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_PROGRAM = "import sys; from slimcae.profiling import memory; print(memory.taken(*sys.argv[1:]))"
RUNS = 2
WARM_UP_SIDE = 32
"""Side in pixels of a picture that is coded first, to load libraries and start threads."""


@dataclass(frozen=True)
class PeakMemory:
    """Peak resident bytes in addition to the program with its model and libraries loaded."""

    encode: int
    decode: int


def peak_memory(
    model: Path,
    pixels: NDArray[np.uint8],
    width: int,
    *,
    precision: str,
    backend: str = "auto",
    effort: int = DEFAULT_EFFORT,
) -> PeakMemory | None:
    """Measure the memory of one picture (H, W, 3) at one width; None if that is impossible.

    Encoding and decoding run in fresh processes, because memory that an allocator keeps would hide
    the needs of the next run. Each process codes a small picture, resets the kernel's high-water
    mark, and codes the picture. The result is the maximum of `RUNS`, because threads make peaks
    vary. Only Linux supports this.

    Raises:
        ConfigError: A process failed.
    """
    if not (_STATUS.exists() and _RESET.exists()):
        return None
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "pixels.npy")
        np.save(picture, pixels)
        common = [str(model), precision, backend, str(width), str(effort), folder]
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
    """Return the peak bytes of encoding or decoding in this process, which should be fresh.

    way: `encode` or `decode`. folder: contains the picture as `pixels.npy`; encoding writes its
    file there, and decoding reads it.
    """
    from slimcae.codec import load
    from slimcae.images import Picture

    codec = load(model, precision=precision, backend=backend)
    pixels = np.load(Path(folder, "pixels.npy"))
    file = Path(folder, "picture.scae")
    small = codec.compress(
        Picture(pixels[:WARM_UP_SIDE, :WARM_UP_SIDE].copy()), point=int(width), effort=int(effort)
    )
    codec.decompress(small)
    data = file.read_bytes() if way == "decode" else b""
    _return_free_memory()
    _RESET.write_text("5")  # man 5 proc: resets the peak resident set size
    before = _kilobytes("VmRSS")
    if way == "encode":
        data = codec.compress(Picture(pixels), point=int(width), effort=int(effort))
    else:
        codec.decompress(data)
    peak = _kilobytes("VmHWM")
    file.write_bytes(data)
    return 1024 * max(0, peak - before)


def _return_free_memory() -> None:
    """Return free memory to the system; a picture that reused it would seem to need less."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _kilobytes(field: str) -> int:
    found = re.search(rf"{field}:\s*(\d+) kB", _STATUS.read_text())
    assert found is not None
    return int(found[1])
