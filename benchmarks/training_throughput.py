"""Measure training throughput in megapixels per second, compared with the earlier port.

    python benchmarks/training_throughput.py [--images FOLDER] [-o docs/results/training.json]

The script times whole steps (crops from memory, forward and backward at all five widths, clipping,
Adam; ours also with the moving average), and reports the median over the steps of several
interleaved rounds. Each pixel counts once, independent of the number of widths. The first row is a
stand-in (seed_stand_in.py) for the earlier port. With --images the loader alone is also timed: from
memory, and with every image decoded when it is drawn.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from seed_stand_in import StandInTrainer

from slimcae.files import atomic_path
from slimcae.images import find_images
from slimcae.machine import describe_machine
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.data import TrainingImages
from slimcae.training.run import default_lmbda
from slimcae.training.settings import TrainSettings
from slimcae.training.trainer import Trainer

STAND_IN = "earlier port (stand-in), float32"
LOADER_IMAGES = 32
LOADER_BATCHES = 40


class RandomImages(TrainingImages):
    """Crops of noise in memory instead of image files, since timing needs no pictures."""

    def __init__(self, count: int, size: int) -> None:
        self.device = torch.device("cpu")
        self.num_workers = 0
        self.paths = [Path(str(number)) for number in range(count)]
        noise = (torch.randint(256, (3, size, size), dtype=torch.uint8) for _ in range(count))
        self.cache = dict(enumerate(noise))
        self.unreadable = set()


def main() -> None:
    """Measure, and print a table of seconds per step and megapixels per second."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=5, help="steps of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patchsize", type=int, default=128)
    parser.add_argument("--batchsize", type=int, default=8)
    parser.add_argument("--compile", action="store_true", help="time torch.compile, too")
    parser.add_argument("--images", help="folder of images to time the loader with")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    result = measure(args)
    print(f"{result['machine']}; torch {result['torch']}, {result['threads']} threads")
    print(f"{'':36}{'s/step':>8}{'Mpx/s':>8}{'times':>7}")
    slowest = result["steps"][STAND_IN]["median"]
    for name, found in result["steps"].items():
        speed = result["megapixels"] / found["median"]
        print(f"{name:36}{found['median']:8.3f}{speed:8.3f}{slowest / found['median']:7.2f}")
    for name, seconds in result["loader"].items():
        print(f"loader alone, {name:22}{seconds:8.4f}{result['megapixels'] / seconds:8.1f}")
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(args.output) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Return all results of one run."""
    images = RandomImages(16, 2 * args.patchsize)
    rounds = {STAND_IN: _stand_in(images, args)}
    for precision in ("float32", "bfloat16"):
        for compiled in ("off", "on") if args.compile else ("off",):
            words = ", compiled" if compiled == "on" else ""
            rounds[f"slimcae train, {precision}{words}"] = _ours(precision, compiled, images, args)
    seconds: dict[str, list[float]] = {name: [] for name in rounds}
    for number in range(args.rounds + 1):
        for name, run in rounds.items():
            times = run()
            if number:  # the first round warms up
                seconds[name] += times
    return {
        "about": "made by benchmarks/training_throughput.py; whole steps of all five widths",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "batchsize": args.batchsize,
        "patchsize": args.patchsize,
        "megapixels": args.batchsize * args.patchsize**2 / 1e6,
        "steps": {name: _spread(times) for name, times in seconds.items()},
        "loader": {} if args.images is None else _loader(args),
    }


def _stand_in(images: TrainingImages, args: argparse.Namespace) -> Callable[[], list[float]]:
    widths = SlimCAE().widths
    trainer = StandInTrainer(widths, default_lmbda(widths))
    batches = images.batches(args.patchsize, args.batchsize, 0, 0)

    def run() -> list[float]:
        times = []
        for _ in range(args.steps):
            start = time.perf_counter()
            trainer.step(next(batches))
            times.append(time.perf_counter() - start)
        return times

    return run


def _ours(
    precision: str, compiled: str, images: TrainingImages, args: argparse.Namespace
) -> Callable[[], list[float]]:
    model = SlimCAE()
    settings = TrainSettings(
        patchsize=args.patchsize,
        batchsize=args.batchsize,
        precision=precision,  # type: ignore[arg-type]
        compile=compiled,  # type: ignore[arg-type]
        log_every=1,
    )
    trainer = Trainer(model, default_lmbda(model.widths), settings, images)

    def run() -> list[float]:
        times = []
        started = time.perf_counter()

        def on_log(_: object) -> None:
            nonlocal started
            now = time.perf_counter()
            times.append(now - started)
            started = now

        trainer.run(trainer.step + args.steps, on_log=on_log)
        return times

    return run


def _loader(args: argparse.Namespace) -> dict[str, float]:
    """Return the seconds per batch of the loader alone."""
    paths = find_images(args.images)[:LOADER_IMAGES]
    found = {}
    for name, cache_gb in (("from memory", None), ("decoding each image", 0.0)):
        images = TrainingImages(paths, torch.device("cpu"), cache_gb)
        batches = images.batches(args.patchsize, args.batchsize, 0, 0)
        for _ in range(5):  # workers start
            next(batches)
        start = time.perf_counter()
        for _ in range(LOADER_BATCHES):
            next(batches)
        found[name] = (time.perf_counter() - start) / LOADER_BATCHES
    return found


def _spread(values: list[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}


if __name__ == "__main__":
    main()
