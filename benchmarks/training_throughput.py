"""Training throughput: megapixels per second of all widths, by precision, on this machine.

    python benchmarks/training_throughput.py [--steps 20] [--patchsize 128] [--batchsize 8]

Times whole steps (crops from memory, forward and backward at all five widths, clipping, Adam,
moving average), as the median over the steps of each of several interleaved rounds. A pixel
counts once, however many widths it goes through.
"""

import argparse
import statistics
import time

import torch

from slimcae.model.slimcae import SlimCAE
from slimcae.training.data import TrainingImages
from slimcae.training.run import default_lmbda
from slimcae.training.settings import TrainSettings
from slimcae.training.trainer import Trainer


class RandomImages(TrainingImages):
    """Noise in memory instead of image files: the timing needs no pictures."""

    def __init__(self, count: int, size: int) -> None:
        self.device = torch.device("cpu")
        self.num_workers = 0
        self.cache = [torch.randint(256, (3, size, size), dtype=torch.uint8) for _ in range(count)]
        self.uncached = []


def main() -> None:
    """Print a table of seconds per step and megapixels per second."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=10, help="steps of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patchsize", type=int, default=128)
    parser.add_argument("--batchsize", type=int, default=8)
    parser.add_argument("--compile", action="store_true", help="time torch.compile, too")
    args = parser.parse_args()

    kinds = [("float32", "off"), ("bfloat16", "off")]
    if args.compile:
        kinds += [("float32", "on"), ("bfloat16", "on")]
    images = RandomImages(16, 2 * args.patchsize)
    trainers = {kind: _trainer(kind, images, args) for kind in kinds}
    seconds: dict[tuple[str, str], list[float]] = {kind: [] for kind in kinds}
    for _ in range(args.rounds + 1):
        for kind, trainer in trainers.items():
            seconds[kind] += _round(trainer, args.steps)
    pixels = args.batchsize * args.patchsize**2 / 1e6
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, all five widths")
    print(f"{'precision':10} {'compiled':9} {'s/step':>8} {'Mpx/s':>8}")
    for (precision, compiled), times in seconds.items():
        median = statistics.median(times[args.steps :])  # the first round warms up
        print(f"{precision:10} {compiled:9} {median:8.3f} {pixels / median:8.3f}")


def _trainer(kind: tuple[str, str], images: TrainingImages, args: argparse.Namespace) -> Trainer:
    model = SlimCAE()
    precision, compiled = kind
    settings = TrainSettings(
        patchsize=args.patchsize,
        batchsize=args.batchsize,
        precision=precision,  # type: ignore[arg-type]
        compile=compiled,  # type: ignore[arg-type]
        log_every=1,
    )
    return Trainer(model, default_lmbda(model.widths), settings, images)


def _round(trainer: Trainer, steps: int) -> list[float]:
    times = []
    started = time.perf_counter()

    def on_log(_: object) -> None:
        nonlocal started
        now = time.perf_counter()
        times.append(now - started)
        started = now

    trainer.run(trainer.step + steps, on_log=on_log)
    return times


if __name__ == "__main__":
    main()
