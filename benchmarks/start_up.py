"""Measure start-up times: the commands, their imports, and loading the model.

    python benchmarks/start_up.py PHOTO [-o docs/results/start_up.json]

The script starts whole processes alternately, several times each, and reports medians. The
project's own share of `compress` is its time minus that of a process that only imports the
libraries of `compress`. The model is read, and small pictures are coded, in fresh processes, too;
the time of the first picture minus that of the second is the cost of preparing a width.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import onnxruntime

from slimcae.files import atomic_path
from slimcae.machine import describe_machine

ROUNDS = 7
_MODEL = """
import time, numpy, onnxruntime, PIL.Image, constriction, safetensors.numpy
import slimcae.codec
from slimcae.images import Picture
tiny = Picture(numpy.zeros((16, 16, 3), numpy.uint8))
times = [time.perf_counter()]
codec = slimcae.codec.load()
times.append(time.perf_counter())
for _ in range(2):
    codec.decompress(codec.compress(tiny, WIDTH))
    times.append(time.perf_counter())
read, first, second = (b - a for a, b in zip(times, times[1:]))
print(read, max(0, first - second))
"""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo", help="a small one, to compress")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    slimcae = ["-m", "slimcae"]
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "photo.scae"))
        compress = [*slimcae, "compress", args.photo, "-y", "--quiet", "-o", file]
        _seconds(compress)  # a file for info; and all of it comes from the disk's cache later
        imports = _importing(compress)
        processes = {
            "python, nothing imported": ["-c", ""],
            "slimcae --help": [*slimcae, "--help"],
            "slimcae info FILE": [*slimcae, "info", file],
            "importing the libraries of compress": imports,
            "slimcae compress PHOTO": compress,
            "slimcae decompress FILE": [*slimcae, "decompress", file, "-y", "--quiet", "-o", "-"],
        }
        times: dict[str, list[float]] = {name: [] for name in processes}
        for _ in range(ROUNDS):
            for name, argv in processes.items():
                times[name].append(_seconds(argv))
    seconds = {name: statistics.median(found) for name, found in times.items()}
    seconds["the project's own share of compress"] = (
        seconds["slimcae compress PHOTO"] - seconds["importing the libraries of compress"]
    )
    for width in (192, 48):
        program = _MODEL.replace("WIDTH", str(width))
        pairs = [tuple(map(float, _output(["-c", program]).split())) for _ in range(ROUNDS)]
        read, prepare = (statistics.median(values) for values in zip(*pairs, strict=True))
        seconds[f"reading the model, for width {width}"] = read
        seconds[f"preparing width {width}, both sides"] = prepare
    for name, value in seconds.items():
        print(f"{name:44}{value:8.3f} s")
    if args.output is not None:
        result = {
            "about": "made by benchmarks/start_up.py; medians of whole processes, seconds",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine(),
            "runtime": f"onnxruntime {onnxruntime.__version__}",
            "python": sys.version.split()[0],
            "seconds": seconds,
        }
        args.output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(args.output) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


def _importing(compress: list[str]) -> list[str]:
    """A program that imports every library module that a compression ends up with, and no more."""
    program = (
        "import sys; from slimcae.cli import main; main(sys.argv[1:]); "
        "print(*(n for n in ('numpy', 'onnxruntime', 'PIL.Image', 'constriction', "
        "'safetensors.numpy', 'PIL.PngImagePlugin') if n in sys.modules))"
    )
    names = _output(["-c", program, *compress[2:]]).split()
    return ["-c", f"import {', '.join(names)}"]


def _seconds(argv: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *argv], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _output(argv: list[str]) -> str:
    return subprocess.run(
        [sys.executable, *argv], check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    main()
