"""Compare ONNX Runtime with torch: times of whole calls, and times and memory of whole processes.

    python benchmarks/backends.py PHOTO [-o docs/results/backends.json]

Calls run alternately in one process, after a warm-up; results are medians of 15. Processes run
`slimcae compress` and `slimcae decompress` alternately; results are medians of 5.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import slimcae
from slimcae.backend import has_bfloat16
from slimcae.files import atomic_path
from slimcae.images import read_picture
from slimcae.machine import describe_machine

CALLS, PROCESSES = 15, 5
WIDTHS = (48, 96, 192)
"""Of the processes."""

Settings = dict[str, str]
Times = dict[str, dict[str, float]]


def kinds() -> dict[str, Settings]:
    """Return the settings to compare, by name."""
    found = {
        "onnx": {"backend": "onnx"},
        "torch, float32": {"backend": "torch", "precision": "float32"},
    }
    if has_bfloat16():
        found["torch, bfloat16"] = {"backend": "torch", "precision": "bfloat16"}
    return found


def calls(photo: Path, model: str | None) -> dict[str, Times]:
    """Return milliseconds to encode and decode, by width and kind."""
    picture = read_picture(photo)
    codecs = {name: slimcae.load(model, **settings) for name, settings in kinds().items()}  # type: ignore[arg-type]
    times: dict[str, dict[str, dict[str, list[float]]]] = {}
    for width in next(iter(codecs.values())).widths:
        by_name = times[str(width)] = {name: {"encode": [], "decode": []} for name in codecs}
        for turn in range(CALLS + 1):
            for name, codec in codecs.items():
                start = time.perf_counter()
                data = codec.compress(picture, width)
                between = time.perf_counter()
                codec.decompress(data)
                if turn:  # the first one prepares
                    by_name[name]["encode"].append(1000 * (between - start))
                    by_name[name]["decode"].append(1000 * (time.perf_counter() - between))
    return {
        width: {name: _medians(found) for name, found in by_name.items()}
        for width, by_name in times.items()
    }


def processes(photo: Path, model: str | None) -> dict[str, Times]:
    """Return seconds and peak resident megabytes of whole commands, by width and kind."""
    rows: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(dict)
    with tempfile.TemporaryDirectory() as folder:
        file, back = str(Path(folder, "a.scae")), str(Path(folder, "a.png"))
        for _ in range(PROCESSES):
            for width in WIDTHS:
                for name, settings in kinds().items():
                    found = rows[str(width)].setdefault(name, defaultdict(list))
                    common = [*_flags(settings), *(["-m", model] if model else []), "-y", "--quiet"]
                    compress = ["compress", str(photo), "-o", file, "-w", str(width), *common]
                    for way, argv in (
                        ("compress", compress),
                        ("decompress", ["decompress", file, "-o", back, *common]),
                    ):
                        seconds, megabytes = _process(argv)
                        found[f"{way}_seconds"].append(seconds)
                        found[f"{way}_megabytes"].append(megabytes)
    return {
        width: {name: _medians(found) for name, found in by_name.items()}
        for width, by_name in rows.items()
    }


def _medians(found: dict[str, list[float]]) -> dict[str, float]:
    return {key: statistics.median(values) for key, values in found.items()}


def _flags(settings: Settings) -> Iterator[str]:
    for key, value in settings.items():
        yield from (f"--{key}", value)


def _process(argv: list[str]) -> tuple[float, float]:
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "slimcae", *argv])
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"slimcae {' '.join(argv)} failed")
    return seconds, usage.ru_maxrss / 1000


def main() -> None:
    """Measure, print the tables, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("-m", "--model", help="NAME, file or run folder (default: the shipped one)")
    parser.add_argument("--no_processes", action="store_true", help="calls alone")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    # first: a process counts what its parent held when it was made
    commands = {} if args.no_processes else processes(args.photo, args.model)
    result: dict[str, Any] = {
        "about": "made by benchmarks/backends.py; medians of milliseconds, seconds, megabytes",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "runtimes": {
            name: slimcae.load(args.model, **settings).transforms.runtime  # type: ignore[arg-type]
            for name, settings in kinds().items()
        },
        "calls": calls(args.photo, args.model),
        "processes": commands,
    }
    print(json.dumps(result, indent=1))
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(args.output) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
