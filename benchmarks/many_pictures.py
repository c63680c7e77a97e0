"""Measure pictures per second for a folder of small photos, compared with Pillow's WebP and AVIF.

    python benchmarks/many_pictures.py FOLDER -o docs/results/many_pictures.json [--ray]

Every contender reads each photo from its file and writes one file. Each run is a new process; its
start is included, except that of Ray's cluster. Wall time is that of the whole run. CPU time, which
is also meaningful on a busy machine, is that of the process and of all processes that it started.
The contenders take turns `--repeats` times, and the smallest value of each counts.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from slimcae.files import atomic_path
from slimcae.images import find_images
from slimcae.machine import describe_machine

LOOP = """
import sys
from pathlib import Path
from PIL import Image
source, out, format, options = sys.argv[1:]
for path in sorted(Path(source).iterdir()):
    with Image.open(path) as image:
        image.convert("RGB").save(Path(out, path.stem), format, **eval(options))
"""
PIPELINE = """
import logging, os, sys, time
from pathlib import Path
import ray
from slimcae.codec import Target
from slimcae.ray import compress_folder
source, out, width, jobs = sys.argv[1:]
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
print(wall, used, found.compressed)
"""


class Cost(NamedTuple):
    """Wall time and CPU time in seconds for a whole folder."""

    wall: float
    cpu: float


def main() -> None:
    """Measure, write the JSON file, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of photos, without folders in it")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="processes or threads (2)")
    parser.add_argument("--widths", type=int, nargs="+", default=[96])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ray", action="store_true", help="the pipeline of slimcae.ray, too")
    args = parser.parse_args()
    count = len(find_images(str(args.folder)))
    ways = {
        "WebP method 4, loop": loop("WEBP", "dict(quality=75, method=4)"),
        "AVIF speed 6, loop": loop("AVIF", "dict(quality=50, speed=6, max_threads=1)"),
        "AVIF speed 8, loop": loop("AVIF", "dict(quality=50, speed=8, max_threads=1)"),
    }
    for width in args.widths:
        command = [sys.executable, "-m", "slimcae", "compress", "-r", "--quiet", "-w", f"{width}"]
        for jobs in (1, args.jobs):
            ways[f"compress -r -j {jobs}, width {width}"] = [*command, "-j", f"{jobs}"]
        if args.ray:
            ways[f"slimcae.ray, {args.jobs} workers, width {width}"] = [
                *(sys.executable, "-c", PIPELINE, "{source}", "{out}", f"{width}", f"{args.jobs}")
            ]
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, words in ways.items():
            costs[name].append(run(words, args.folder))
    rows = {}
    for name, found in costs.items():
        wall, cpu = min(each.wall for each in found), min(each.cpu for each in found)
        rows[name] = {"pictures_per_second": count / wall, "cpu_ms_per_picture": 1e3 * cpu / count}
        print(f"{name:45} {count / wall:7.1f} pictures/s {1e3 * cpu / count:7.1f} CPU ms each")
    if args.output:
        document = {"machine": describe_machine(), "pictures": count, "ways": rows}
        with atomic_path(args.output) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n")


def loop(form: str, options: str) -> list[str]:
    """Return a command that compresses a folder with one of Pillow's encoders."""
    return [sys.executable, "-c", LOOP, "{source}", "{out}", form, options]


def run(words: list[str], source: Path) -> Cost:
    """Run a command on a folder, with output to a new one, and return its cost."""
    out = Path(tempfile.mkdtemp())
    try:
        filled = [word.format(source=source, out=out) for word in words if "\n" not in word]
        if len(filled) == len(words):  # compress
            filled += [str(source), "-o", f"{out}/"]
        else:
            filled.insert(2, next(word for word in words if "\n" in word))
        before, start = os.times(), time.perf_counter()
        done = subprocess.run(filled, capture_output=True, text=True, check=True)
        wall, after = time.perf_counter() - start, os.times()
        if "slimcae.ray" in filled[2]:
            wall, cpu, _ = map(float, done.stdout.split())
            return Cost(wall, cpu)
        children = after.children_user - before.children_user
        return Cost(wall, children + after.children_system - before.children_system)
    finally:
        shutil.rmtree(out)


if __name__ == "__main__":
    main()
