"""How much memory one width takes, measured in processes of their own."""

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
WARM_UP_SIDE = 32
"""Pixels a side of the picture that is coded before: libraries load, threads start."""


@dataclass(frozen=True)
class PeakMemory:
    """Peak resident bytes beyond what the program held just before, model and libraries loaded."""

    encode: int
    decode: int


def peak_memory(
    model: Path, pixels: NDArray[np.uint8], width: int, *, precision: str
) -> PeakMemory | None:
    """What one picture (H, W, 3) takes on the processor at one width; None where not measurable.

    Every side runs in a fresh process, since what an allocator keeps after one run hides what the
    next one needs. It codes a small picture, resets the kernel's high-water mark, and codes the
    picture. Only Linux can do that.

    Raises:
        ConfigError: a process failed.
    """
    if not (_STATUS.exists() and _RESET.exists()):
        return None
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "pixels.npy")
        np.save(picture, pixels)
        common = [str(model), precision, str(width), folder]
        encode = _run("encode", *common)
        return PeakMemory(encode, _run("decode", *common))


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


def taken(way: str, model: str, precision: str, width: str, folder: str) -> int:
    """Bytes that one way takes in this process, which should be fresh.

    way: `encode` or `decode`. folder: has the picture's `pixels.npy`; encoding leaves its file
    there, which decoding reads.
    """
    from slimcae.codec import load
    from slimcae.images import Picture

    codec = load(model, precision=precision)
    pixels = np.load(Path(folder, "pixels.npy"))
    file = Path(folder, "picture.scae")
    small = codec.compress(Picture(pixels[:WARM_UP_SIDE, :WARM_UP_SIDE].copy()), int(width))
    codec.decompress(small)
    data = file.read_bytes() if way == "decode" else b""
    _RESET.write_text("5")  # man 5 proc: resets the peak resident set size
    before = _kilobytes("VmRSS")
    if way == "encode":
        data = codec.compress(Picture(pixels), int(width))
    else:
        codec.decompress(data)
    peak = _kilobytes("VmHWM")
    file.write_bytes(data)
    return 1024 * max(0, peak - before)


def _kilobytes(field: str) -> int:
    found = re.search(rf"{field}:\s*(\d+) kB", _STATUS.read_text())
    assert found is not None
    return int(found[1])
