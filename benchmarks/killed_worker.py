"""What becomes of photos when a worker of Ray, or the whole run, is killed in the middle.

    python benchmarks/killed_worker.py FOLDER

On a cluster of two workers on this machine. Files are compared with those of `Codec.compress`.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import ray
from pyarrow import parquet as pq

import slimcae
from slimcae.images import find_images

RUN = """
import sys
from slimcae.codec import Target
from slimcae.ray import compress_folder
source, out, width = sys.argv[1:]
compress_folder(
    source, out, Target(width=int(width)), progress=lambda done, _: print(done, flush=True)
)
"""


def main() -> None:
    """Kill, resume, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of photos, without folders in it")
    parser.add_argument("--width", type=int, default=48)
    args = parser.parse_args()
    codec = slimcae.load(threads=1)
    wanted = {
        f"{Path(name).name}.scae": codec.compress(name, args.width)
        for name in find_images(str(args.folder))
    }
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR)
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    with tempfile.TemporaryDirectory() as out:
        done = kill_worker(args.folder, Path(out), args.width, len(wanted) // 3)
        print(f"worker killed: {done}, {outcome(Path(out), wanted)}")
    with tempfile.TemporaryDirectory() as out:
        done = kill_run(args.folder, Path(out), args.width)
        print(f"run killed: {done}, {outcome(Path(out), wanted)}")
    ray.shutdown()


def kill_worker(source: Path, out: Path, width: int, after: int) -> str:
    """Kill a worker when so many photos are done, and let the run go on."""
    killed = 0
    with start(source, out, width) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if not killed and int(line) >= after:
                killed = int(line)
                os.kill(workers()[0], signal.SIGKILL)
    assert run.returncode == 0
    return f"{killed} done before, {len(list(out.glob('*.scae'))) - killed} after"


def kill_run(source: Path, out: Path, width: int) -> str:
    """Kill the run when it has written rows, and call it again."""
    parts = out / "table.parquet.parts"
    with start(source, out, width) as run:
        assert run.stdout is not None
        for _ in run.stdout:
            if parts.exists():
                run.kill()
    before = sum(pq.read_metadata(part).num_rows for part in parts.glob("*.parquet"))
    again = 0
    with start(source, out, width) as run:
        assert run.stdout is not None
        for line in run.stdout:
            again = int(line)
    assert run.returncode == 0
    return f"{before} rows before, {again} after"


def start(source: Path, out: Path, width: int) -> "subprocess.Popen[str]":
    """Start a run on the cluster; it prints how many photos are done, again and again."""
    words = [sys.executable, "-c", RUN, f"{source}", f"{out}", f"{width}"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def workers() -> list[int]:
    """Return the processes of the actors that compress."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if line.read_bytes().startswith(b"ray::MapWorker"):
                found.append(int(line.parent.name))
        except OSError:  # it has ended
            continue
    return found


def outcome(out: Path, wanted: dict[str, bytes]) -> str:
    """Say how many photos have no file, another file than the codec's, or not just one row."""
    files = {path.name: path.read_bytes() for path in out.glob("*.scae")}
    table = pq.read_table(out / "table.parquet").to_pylist()
    rows = Counter(f"{row['path']}.scae" for row in table if row["error"] is None)
    facts = {
        "lost": len(wanted.keys() - files.keys()) + len(wanted.keys() - rows.keys()),
        "different": sum(files[name] != data for name, data in wanted.items() if name in files),
        "doubled": sum(count > 1 for count in rows.values()) + len(files.keys() - wanted.keys()),
    }
    return ", ".join(f"{number} {name}" for name, number in facts.items())


if __name__ == "__main__":
    main()
