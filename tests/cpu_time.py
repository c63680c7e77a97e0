"""Comparisons of processor time within one run: no test knows how fast its machine is."""

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

from conftest import HANG

ROUNDS = 5


def growth(work: Callable[[int], object], small: int, large: int) -> float:
    """The processor time of `work(large)` in units of that of `work(small)`.

    The least of a few runs of both, which take turns: other work on the machine only adds to it.
    The collector of garbage rests meanwhile: it looks at all that the other tests left.
    """
    least = {small: float("inf"), large: float("inf")}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(3):
            for size in least:
                start = time.process_time()
                work(size)
                least[size] = min(least[size], time.process_time() - start)
    finally:
        if collecting:
            gc.enable()
    return least[large] / least[small]


def start_up(
    programs: Mapping[str, Sequence[str]], environment: Mapping[str, str] | None = None
) -> dict[str, float]:
    """The processor time of whole Python processes, in seconds: to be compared with each other.

    programs: by name, the code (for `python -c`) and its arguments; run several times in turns.
    """
    tell = "\nimport sys, time; print(time.process_time(), file=sys.stderr)"
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, (code, *words) in programs.items():
            done = subprocess.run(
                [sys.executable, "-c", code + tell, *words],
                env=environment,
                capture_output=True,
                text=True,
                timeout=HANG,
            )
            assert done.returncode == 0, done.stderr
            times[name].append(float(done.stderr))
    return {name: statistics.median(found) for name, found in times.items()}


def lines_run(function: Callable[[], object]) -> int:
    """Count the lines of Python that a call runs, with nested calls: equal on every machine."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count
