"""Time SlimCAE, CompressAI's factorized model and the codecs of Pillow in one run.

    python benchmarks/peers/make_environment.py     # once
    python benchmarks/peers/run.py IMAGES -o docs/results/peers.json

Two worker processes, one per environment, take turns. All codecs process a picture before the next
picture, so other load on the machine affects all codecs equally, and only one process computes at a
time. Times are those of whole calls, from 8-bit pixels in memory to the bytes of a file and back to
pixels. Each codec is warmed up with one picture of each shape. Results are medians and quartiles
over the pictures, with one run each.
"""

import argparse
import json
import os
import platform
import re
import statistics
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import make_environment
from protocol import Worker

from slimcae.files import atomic_path
from slimcae.images import find_images
from slimcae.machine import describe_machine

HERE = Path(__file__).parent

SEEDS = (0, 1, 2)
STAGES_EVERY = 3
"""The network and the coder are timed on every third picture."""


def main() -> None:
    """Run all codecs, write the JSON file, and print the table of ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", help="a folder or a pattern")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--every", type=int, default=1, help="take every n-th picture only")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--precision", help="of our network (default: the codec's own)")
    parser.add_argument("--backend", default="auto", help="of our network (default: auto)")
    parser.add_argument(
        "--environment",
        type=Path,
        default=make_environment.FOLDER,
        help="CompressAI's, by make_environment.py; absent: only our own and Pillow's",
    )
    args = parser.parse_args()
    images = find_images(args.images)[:: args.every]
    python = args.environment / "bin" / "python"
    result = measure(images, args.threads, args.precision, args.backend, python)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(args.output) as temporary:
        temporary.write_text(as_json(result))
    print_summary(result)


def measure(
    images: Sequence[Path],
    threads: int,
    precision: str | None,
    backend: str,
    their_python: Path,
) -> dict[str, Any]:
    """Return all results of one run."""
    ours = Worker(sys.executable, HERE / "ours.py", threads)
    theirs = Worker(their_python, HERE / "theirs.py", threads) if their_python.exists() else None
    if theirs is None:
        print("CompressAI is left out: run make_environment.py first", file=sys.stderr)
    about = ours.ask("load", precision=precision, backend=backend)
    widths = about["widths"]
    jobs = [(ours, f"{width}") for width in widths] + [(ours, name) for name in about["classics"]]
    about_theirs = layers = None
    if theirs is not None:
        about_theirs = theirs.ask("load")
        jobs += [(theirs, name) for name in about_theirs["models"]]
        layers = compare_layers(ours, theirs)
        open_in([ours, theirs], images[0])
        about_theirs |= {"fitted": theirs.ask("fit", **ours.ask("spreads"))}
    workers = [worker for worker in (ours, theirs) if worker is not None]

    calls: dict[str, list[dict[str, Any]]] = {name: [] for _, name in jobs}
    stages: dict[int, list[dict[str, Any]]] = {width: [] for width in widths}
    # where bfloat16 is emulated, one large product takes minutes
    rates: dict[str, list[float]] = {"float32": [], about["precision"]: []}
    shapes = set()
    pixels, staged = [], []
    for number, image in enumerate(images, 1):
        size = tuple(open_in(workers, image)["size"])
        print(f"\r{number}/{len(images)} {image.name}", end="", file=sys.stderr, flush=True)
        if size not in shapes:
            shapes.add(size)
            for worker, name in jobs:
                worker.ask("code", name=name)
            for width in widths:
                ours.ask("stages", width=width)
        pixels.append(size[0] * size[1])
        for worker, name in jobs:
            calls[name].append(worker.ask("code", name=name))
        if number % STAGES_EVERY == 1:
            staged.append(pixels[-1])
            for width in widths:
                stages[width].append(ours.ask("stages", width=width))
        for name in rates:
            rates[name].append(ours.ask("matrix_rate", precision=name)["flops"])
    print(file=sys.stderr)
    for worker in workers:
        worker.close()
    return {
        "about": "made by benchmarks/peers/run.py; seconds: whole calls, pixels to bytes and back",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": about["model"],
        "machine": describe_machine(),
        "python": platform.python_version(),
        "threads": threads,
        "images": len(images),
        "pixels": statistics.median(pixels),
        "ours": about,
        "theirs": about_theirs,
        "codecs": {
            name: {
                **{
                    way: spread([call[way] for call in found])
                    | {"each": [round(call[way], 6) for call in found]}
                    for way in ("encode", "decode")
                },
                "bpp": statistics.fmean(
                    8 * call["bytes"] / count for call, count in zip(found, pixels, strict=True)
                ),
            }
            for name, found in calls.items()
        },
        "stages": {
            str(width): {
                way: {
                    part: spread([one[way][part] for one in found])
                    for part in ("whole", "network", "coder")
                }
                for way in ("encode", "decode")
            }
            for width, found in stages.items()
        },
        "matrix_flops": {name: spread(found) for name, found in rates.items()},
        "over_limit": {
            str(width): over_limit(
                about["macs"][str(width)], found, staged, rates[about["precision"]]
            )
            for width, found in stages.items()
        },
        "layers": layers,
    }


def over_limit(
    macs: Sequence[float],
    found: Sequence[dict[str, Any]],
    pixels: Sequence[int],
    rates: Sequence[float],
) -> dict[str, float]:
    """Return the network's time divided by that of its operations at the matrix-product rate.

    macs: multiply-accumulates per pixel of encoder and decoder.
    """
    rate = statistics.median(rates)
    return {
        way: statistics.median(
            one[way]["network"] / (2 * each * count / rate)
            for one, count in zip(found, pixels, strict=True)
        )
        for way, each in zip(("encode", "decode"), macs, strict=True)
    }


def compare_layers(ours: Worker, theirs: Worker) -> list[dict[str, Any]]:
    """Compare GDN and entropy bottleneck with random parameters, for several seeds."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "layers.npz"))
        for seed in SEEDS:
            ours.ask("layers", seed=seed, path=path)
            found.append({"seed": seed, **theirs.ask("layers", path=path)})
    return found


def open_in(workers: Sequence[Worker], image: Path) -> dict[str, Any]:
    """Make all workers read a picture."""
    answers = [worker.ask("open", image=str(image)) for worker in workers]
    return answers[0]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the quartiles."""
    if len(values) == 1:
        return dict.fromkeys(("median", "low", "high"), values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}


def as_json(result: dict[str, Any]) -> str:
    """Format indented JSON with lists of numbers on one line."""
    text = json.dumps(result, indent=1, ensure_ascii=False)
    short = re.sub(r"\[[\s\d.,e-]+\]", lambda found: " ".join(found[0].split()), text)
    return short + "\n"


def print_summary(result: dict[str, Any]) -> None:
    """Print medians of every codec, and the speed-ups of the narrowest and the widest width."""
    codecs = result["codecs"]
    print(f"{'':32}{'encode ms':>10}{'decode ms':>10}{'bpp':>8}")
    for name, found in codecs.items():
        times = [1000 * found[way]["median"] for way in ("encode", "decode")]
        print(f"{name:32}{times[0]:10.1f}{times[1]:10.1f}{found['bpp']:8.3f}")
    for width in (result["ours"]["widths"][-1], result["ours"]["widths"][0]):
        for name, found in codecs.items():
            if name.isdigit():
                continue
            ratios = [
                found[way]["median"] / codecs[str(width)][way]["median"]
                for way in ("encode", "decode")
            ]
            print(f"width {width:3} against {name:32} {ratios[0]:7.1f} x {ratios[1]:7.1f} x faster")
    for width, found in result["over_limit"].items():
        print(f"width {width:>3}: {found['encode']:.2f} / {found['decode']:.2f} x matrix limit")


if __name__ == "__main__":
    main()
