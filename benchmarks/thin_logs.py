"""Merge the logs of training runs into one small file with means over many steps.

python benchmarks/thin_logs.py runs/first runs/second -o docs/results/trials/log.jsonl
"""

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

STEPS = 250


def main() -> None:
    """Read the logs, thin them, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, in their order")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    lines = [line for run in arguments.runs for line in thinned(run)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    arguments.output.write_text(text, encoding="utf-8")


def thinned(run: Path) -> Iterator[dict[str, Any]]:
    """Yield a line for every `STEPS` steps, with the minutes that the run has taken so far."""
    entries = map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines())
    minutes, before, pending = 0.0, 0.0, []
    for entry in entries:
        if "loss" not in entry:  # another start, whose clock begins anew
            minutes += before
            before = 0.0
            continue
        before = entry["seconds"] / 60
        pending.append(entry)
        if entry["step"] % STEPS == 0:
            yield _mean(run.name, pending, minutes + before)
            pending = []


def _mean(run: str, entries: Sequence[dict[str, Any]], minutes: float) -> dict[str, Any]:
    def over(name: str, width: str) -> float:
        return statistics.fmean(entry[name][width] for entry in entries)

    widths = entries[0]["bpp"]
    return {
        "run": run,
        "step": entries[-1]["step"],
        "minutes": round(minutes, 1),
        "loss": round(statistics.fmean(entry["loss"] for entry in entries), 4),
        "lr": float(f"{entries[-1]['lr']:.3g}"),
        "bpp": {width: round(over("bpp", width), 4) for width in widths},
        "mse": {width: float(f"{over('mse', width):.4g}") for width in widths},
    }


if __name__ == "__main__":
    main()
