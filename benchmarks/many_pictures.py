"""Measure pictures per second for a folder of small photos, beside loops over cwebp and avifenc.

    python benchmarks/many_pictures.py FOLDER -o docs/results/many_pictures.json [--ray]

Every contender reads each photo from its file and writes one file, several at a time. `cwebp` and
`avifenc` are started for each photo, as in a shell's loop; where they are not installed, Pillow's
WebP and AVIF take their place, in as many processes. The start of each run is included, except that
of Ray's cluster. Wall time is that of the whole run. CPU time, which is also meaningful on a busy
machine, is that of the process and of all processes that it started. The contenders take turns
`--repeats` times, and medians count: for Ray's pipeline also the median of its ratios to
`compress -r` in the same turn.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from slimcae.files import atomic_path
from slimcae.images import find_images
from slimcae.machine import describe_machine

PROGRAM = """
import subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
source, out, jobs, *words = sys.argv[1:]
def encode(path):
    names = {"{input}": str(path), "{output}": str(Path(out, path.stem))}
    done = subprocess.run([names.get(word, word) for word in words], capture_output=True)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
with ThreadPoolExecutor(int(jobs)) as pool:
    list(pool.map(encode, sorted(Path(source).iterdir())))
"""
PILLOW = """
import sys
from multiprocessing import Pool
from pathlib import Path
from PIL import Image
source, out, jobs, format, options = sys.argv[1:]
def encode(path):
    with Image.open(path) as image:
        image.convert("RGB").save(Path(out, path.stem), format, **eval(options))
with Pool(int(jobs)) as pool:
    list(pool.imap_unordered(encode, sorted(Path(source).iterdir())))
"""
PIPELINE = """
import logging, os, sys, time
from pathlib import Path
import ray
from slimcae.codec import Target
from slimcae.ray import compress_folder
source, out, width, jobs = sys.argv[1:]
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",  # as in a cluster that slimcae starts
    "RAY_worker_niceness": "0",  # instead of 15, or a busy machine would starve them alone
}
ray.init(num_cpus=int(jobs), include_dashboard=False, logging_level=logging.ERROR)
TICK = os.sysconf("SC_CLK_TCK")
seconds = {}
def sample(*_):
    # of all processes that Ray started; those of the actors end with the last picture
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition(" (")[2].rpartition(") ")
        except OSError:
            continue
        if name.startswith(("ray::", "raylet", "gcs_server")):
            fields = rest.split()
            seconds[stat.parent.name] = (int(fields[11]) + int(fields[12])) / TICK
sample()
before = dict(seconds)
start, cpu = time.perf_counter(), time.process_time()
found = compress_folder(source, out, Target(width=int(width)), progress=sample)
wall = time.perf_counter() - start
used = time.process_time() - cpu + sum(n - before.get(pid, 0) for pid, n in seconds.items())
print(wall, used)
"""


class Cost(NamedTuple):
    """Wall time and CPU time in seconds for a whole folder."""

    wall: float
    cpu: float


Way = Callable[[Path, Path], Cost]
"""Compresses the photos of one folder into another."""


def main() -> None:
    """Measure, write the JSON file, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of photos, without folders in it")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="pictures at a time (2)")
    parser.add_argument("--widths", type=int, nargs="*", default=[48, 96, 192])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ray", action="store_true", help="the pipeline of slimcae.ray, too")
    parser.add_argument("--no_others", action="store_true", help="neither WebP nor AVIF")
    args = parser.parse_args()
    count = len(find_images(str(args.folder)))
    ways = {} if args.no_others else others(args.jobs)
    for width in args.widths:
        ways[_compress(width)] = partial(compress, args.jobs, width)
        if args.ray:
            ways[_pipeline(width)] = partial(pipeline, args.jobs, width)
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory() as out:
                costs[name].append(way(args.folder, Path(out)))
    rows: dict[str, dict[str, float]] = {}
    for name, found in costs.items():
        wall, cpu = median(found)
        rows[name] = {"pictures_per_second": count / wall, "cpu_ms_per_picture": 1e3 * cpu / count}
        print(f"{name:30} {count / wall:7.1f} pictures/s {1e3 * cpu / count:7.1f} CPU ms each")
    ratios = {}
    for width in args.widths if args.ray else ():
        both = zip(costs[_pipeline(width)], costs[_compress(width)], strict=True)
        wall, cpu = median([Cost(a.wall / b.wall, a.cpu / b.cpu) for a, b in both])
        ratios[str(width)] = {"wall": wall, "cpu": cpu}
        print(f"pipeline / compress, width {width}: wall {wall:.2f}, CPU {cpu:.2f}")
    if args.output:
        document: dict[str, Any] = {
            "machine": describe_machine(),
            "load_average": os.getloadavg()[1],
            "pictures": count,
            "at_a_time": args.jobs,
            "turns": args.repeats,
            "ways": rows,
            "pipeline_over_compress": ratios,
        }
        with atomic_path(args.output) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n")


def others(jobs: int) -> dict[str, Way]:
    """Return the loops over WebP and AVIF."""
    ways: dict[str, Way] = {}
    if shutil.which("cwebp"):
        webp = ("cwebp", "-quiet", "-q", "75", "-m", "4", "{input}", "-o", "{output}")
        ways["cwebp -q 75 -m 4"] = partial(script, PROGRAM, [f"{jobs}", *webp])
    else:
        ways["WebP 75, method 4 (Pillow)"] = partial(
            script, PILLOW, [f"{jobs}", "WEBP", "dict(quality=75, method=4)"]
        )
    for speed in (8, 6):
        if shutil.which("avifenc"):
            quality = ("--min", "32", "--max", "32", "-y", "420")  # as Pillow's 50
            avif = ("avifenc", "-s", f"{speed}", "-j", "1", *quality, "{input}", "{output}")
            ways[f"avifenc -s {speed}"] = partial(script, PROGRAM, [f"{jobs}", *avif])
        else:
            options = f"dict(quality=50, speed={speed}, max_threads=1)"
            ways[f"AVIF 50, speed {speed} (Pillow)"] = partial(
                script, PILLOW, [f"{jobs}", "AVIF", options]
            )
    return ways


def compress(jobs: int, width: int, source: Path, out: Path) -> Cost:
    """Run `slimcae compress -r`."""
    words = ["compress", "-r", "--quiet", "-w", f"{width}", "-j", f"{jobs}", f"{source}"]
    return run([sys.executable, "-m", "slimcae", *words, "-o", f"{out}/"])[0]


def pipeline(jobs: int, width: int, source: Path, out: Path) -> Cost:
    """Run the pipeline in a cluster of this machine, whose start does not count."""
    _, said = run([sys.executable, "-c", PIPELINE, f"{source}", f"{out}", f"{width}", f"{jobs}"])
    wall, cpu = map(float, said.split())
    return Cost(wall, cpu)


def script(text: str, words: list[str], source: Path, out: Path) -> Cost:
    """Run a Python script with two folders and words."""
    return run([sys.executable, "-c", text, f"{source}", f"{out}", *words])[0]


def run(words: list[str]) -> tuple[Cost, str]:
    """Run a command; return what it cost with all that it waited for, and what it said."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    wall, after = time.perf_counter() - start, os.times()
    user = after.children_user - before.children_user
    return Cost(wall, user + after.children_system - before.children_system), done.stdout


def median(costs: list[Cost]) -> Cost:
    """Return the medians of both."""
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def _compress(width: int) -> str:
    return f"compress -r, width {width}"


def _pipeline(width: int) -> str:
    return f"slimcae.ray, width {width}"


if __name__ == "__main__":
    main()
