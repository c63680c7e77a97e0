"""Run the jobs of a command, sequentially or in threads, and report each when it ends.

A job that fails does not stop the others. Ctrl-C stops soon and leaves no partial output.
"""

import argparse
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from slimcae.cli.failure import describe
from slimcae.cli.jobs import Job, Plan
from slimcae.cli.messages import note, print_error, put_line
from slimcae.cli.stopping import raise_if_stopped
from slimcae.cli.streams import STREAM, copy_mtime, make_folder

FACTS = ("bytes", "bpp", "width", "step", "image_width", "image_height", "seconds")
"""Facts in the --json object of every file, after its names and status; null if the job failed."""

_WORKER = "slimcae-worker"


@dataclass(frozen=True)
class Done:
    """Result of a job: `facts` for --json (all of `FACTS`, perhaps more), and a line of text."""

    facts: dict[str, Any]
    line: str


class Gate:
    """A lock around the writing of outputs, so that a stop waits for them and for nothing else."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._writing = 0
        self._shut = False

    def __enter__(self) -> None:
        with self._changed:
            if self._shut:
                raise KeyboardInterrupt  # ends the worker, whose result is no longer needed
            self._writing += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._writing -= 1
            self._changed.notify_all()

    def shut(self) -> None:
        """Wait until nothing is being written, and block all further writing."""
        with self._changed:
            self._shut = True
            self._changed.wait_for(lambda: self._writing == 0)


Work = Callable[[Job, Gate], Done]
"""Function that does a job; it enters the gate before it writes."""


def run_jobs(
    plan: Plan, work: Work, args: argparse.Namespace, prepare: Callable[[], object], at_a_time: int
) -> int:
    """Do all jobs and return the exit code: 1 if any failed.

    at_a_time: number of jobs in parallel, each in its own thread.
    prepare: called before the first of several jobs, to find errors that concern all of them. It
        is not called for a single job, which can then report a wrong name before loading anything.

    Raises:
        SlimCAEError: `prepare` raised it, or the folder of outputs cannot be created.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    report = _Report(plan, args)
    todo = [job for job in plan.jobs if not job.spare and report.is_open(job)]
    spares = [job for job in plan.jobs if job.spare]
    if not todo and not spares:
        return report.end()
    if plan.several:
        prepare()
    if plan.folder is not None:
        make_folder(plan.folder)

    gate = Gate()

    def attempt(job: Job) -> Done | str:
        try:
            done = work(job, gate)
            if args.keep_mtime:
                copy_mtime(job.source, job.output)
            return done
        except BrokenPipeError:  # standard output is closed, which is not a failure of the file
            raise
        except Exception as error:
            raise_if_stopped()
            return describe(error)

    with report.progress(len(todo) + len(spares)):
        if min(at_a_time, len(todo)) <= 1:
            for job in todo:
                report.ended(job, attempt(job))
                raise_if_stopped()  # a library may have ignored the signal
        else:
            _in_threads(todo, attempt, min(at_a_time, len(todo)), gate, report)
        for job in spares:
            report.ended(job, job.problem or "" if report.holds(job) else attempt(job))
    return report.end()


def workers_left() -> bool:
    """Return whether threads of a stopped batch are still running."""
    return any(thread.name.startswith(_WORKER) for thread in threading.enumerate())


def _in_threads(
    jobs: Sequence[Job],
    attempt: Callable[[Job], Done | str],
    count: int,
    gate: Gate,
    report: "_Report",
) -> None:
    """Do jobs in `count` threads."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    pool = ThreadPoolExecutor(count, _WORKER)
    try:
        waiting = {pool.submit(attempt, job): job for job in jobs}
        for future in as_completed(waiting):
            report.ended(waiting[future], future.result())
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        gate.shut()
        raise
    pool.shutdown()


class _Report:
    """Reports the result of each file, and counts results."""

    def __init__(self, plan: Plan, args: argparse.Namespace) -> None:
        self._several = plan.several
        self._json = args.json
        self._quiet = args.level >= logging.ERROR
        self._bar: Any = None
        self._ok = self._failed = self._skipped = 0
        self._outputs: set[str] = set()

    @contextmanager
    def progress(self, total: int) -> Iterator[None]:
        """Show a progress bar on a terminal if there are several jobs."""
        if not self._several or self._quiet or not sys.stderr.isatty():
            yield
            return
        from tqdm import tqdm

        with tqdm(total=total, unit="file", dynamic_ncols=True) as self._bar:
            yield
        self._bar = None

    def is_open(self, job: Job) -> bool:
        """Return whether a job must be done; report the others."""
        if job.problem is not None:
            self.ended(job, job.problem)
        elif job.done:
            self._skipped += 1
            self._outputs.add(os.path.realpath(job.output))
            self._object(job, ok=True, skipped=True)
            self._line(f"{job.output} exists: skipped")
        return job.problem is None and not job.done

    def holds(self, job: Job) -> bool:
        """Return whether another job has written the output of this one, or found it existing."""
        return os.path.realpath(job.output) in self._outputs

    def ended(self, job: Job, result: Done | str) -> None:
        """Report the result or the error of a job."""
        if isinstance(result, Done):
            self._ok += 1
            if job.output != STREAM:  # the current folder may have been deleted
                self._outputs.add(os.path.realpath(job.output))
            self._object(job, ok=True, **result.facts)
            self._line(f"{job.source} -> {job.output}  {result.line}")
        else:
            self._failed += 1
            self._object(job, ok=False, error=result)
            named = not self._several or job.source in result
            print_error(result if named else f"{job.source}: {result}")
        if self._bar is not None:
            self._bar.update()

    def end(self) -> int:
        """Report the numbers of results, and return the exit code."""
        if self._several and not self._quiet:
            skipped = f", {self._skipped} skipped" if self._skipped else ""
            note(f"{self._ok} ok, {self._failed} failed{skipped}")
        return 1 if self._failed else 0

    def _object(self, job: Job, **facts: Any) -> None:
        if self._json:
            about = {"input": job.source, "output": job.output or None}
            empty = {"ok": False, "skipped": False, "error": None} | dict.fromkeys(FACTS)
            put_line(json.dumps(about | empty | facts), sys.stdout)

    def _line(self, text: str) -> None:
        if not self._json and not self._quiet:
            note(text)
