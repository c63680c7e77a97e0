"""Planning of input and output files: from the arguments of a command to a list of checked jobs."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from slimcae.cli.options import Options, add_option
from slimcae.cli.quantities import whole
from slimcae.cli.standard import output_is_closed
from slimcae.cli.streams import STREAM, cannot_write, refusal
from slimcae.errors import ConfigError

MEGAPIXELS_AT_A_TIME = 16
"""Limit on the pictures in memory at the same time, unless -j sets their number."""


_DEVICES = ("/dev", "/dev/fd")


@dataclass(frozen=True)
class Job:
    """One input and its output; both are paths as given by the user, or `-`.

    problem: why the job cannot be done, if known in advance.
    done: the output exists, and existing outputs are skipped.
    spare: another input has the same output; this job is done only if that one fails.
    """

    source: str
    output: str
    problem: str | None = None
    done: bool = False
    spare: bool = False


@dataclass(frozen=True)
class Plan:
    """All jobs of a command line.

    several: whether more than one file, or a folder, was given.
    folder: folder of the outputs, if they are not written next to the inputs.
    left_out: for each input folder, the number of files left out by suffix.
    """

    jobs: tuple[Job, ...]
    several: bool
    folder: Path | None
    left_out: Mapping[str, Counter[str]] = field(default_factory=dict)

    def megapixels(self, pixels: Callable[[Path], int], enough: float) -> float:
        """Return the megapixels of the readable inputs; stop counting at `enough`.

        pixels: function that returns the number of pixels of a file.
        """
        total = 0.0
        for number in self._pixels(pixels):
            total += number / 1e6
            if total >= enough:
                break
        return total

    def files_at_a_time(self, asked: int | None, pixels: Callable[[Path], int]) -> int:
        """Return the number of files to process in parallel, each in its own thread.

        asked: number requested by the user. None: one per core, because parallel files use the
            cores better than one file at a time, but at most `MEGAPIXELS_AT_A_TIME` in total.
        pixels: see `megapixels`.
        """
        from slimcae.machine import available_cores

        number = sum(job.problem is None and not job.done for job in self.jobs)
        most = min(number, asked or available_cores())
        if asked is None and most > 1:
            for found in self._pixels(pixels):
                most = min(most, int(1e6 * MEGAPIXELS_AT_A_TIME) // max(1, found))
                if most <= 1:
                    break
        return max(1, most)

    def _pixels(self, pixels: Callable[[Path], int]) -> Iterator[int]:
        for job in self.jobs:
            # a pipe can be read only once
            if job.problem is None and not job.done and Path(job.source).is_file():
                with suppress(Exception):  # the job itself will report it
                    yield pixels(Path(job.source))


@dataclass(frozen=True)
class _Found:
    """An input file; `place` is the path of its output relative to the output folder."""

    source: str
    place: Path
    problem: str | None = None


def add_file_options(options: Options, suffix: str) -> None:
    """Add the options for outputs and for the number of parallel files, such as -o, -r and -j."""
    add_option(
        options,
        "-o",
        "--output",
        metavar="OUTPUT",
        help=f"output file, or folder DIR/ (default: INPUT with suffix {suffix})",
    )
    existing = options.add_mutually_exclusive_group()
    add_option(existing, "-y", "--overwrite", action="store_true", help="replace existing outputs")
    add_option(
        existing, "--skip_existing", action="store_true", help="skip files whose output exists"
    )
    add_option(
        options,
        "-r",
        "--recursive",
        action="store_true",
        help="search folders recursively; -o DIR/ keeps their structure",
    )
    add_option(
        options,
        "-j",
        "--jobs",
        type=whole,
        metavar="N",
        help="files in parallel (default: one per core, up to 16 megapixels)",
    )
    add_option(
        options,
        "--keep_mtime",
        action="store_true",
        help="copy the modification time of each input",
    )
    add_option(options, "--json", action="store_true", help="print one JSON object per file")


def plan_jobs(
    args: argparse.Namespace,
    suffix: str,
    kinds: Collection[str],
    what: str = "pictures",
    *,
    keep_suffix: bool = False,
) -> Plan:
    """Return the jobs of a command whose outputs have the suffix `suffix`.

    kinds: suffixes, without dot, of the files to take from folders. what: the name of these files.
    keep_suffix: append `suffix` to the names of inputs, instead of replacing their suffix.

    An invalid input becomes a job with a problem and does not stop the others. No output may be an
    input (links are followed), or the output of two jobs.

    Raises:
        ConfigError: The inputs and -o are not a valid combination.
    """
    names: list[str] = args.inputs
    several = len(names) > 1 or (args.recursive and _is_folder(names[0]))
    to_folder = bool(args.output) and _names_folder(args.output)
    _check_together(args, several, to_folder)
    left_out: dict[str, Counter[str]] = {}
    found = [
        item for name in names for item in _expand(name, kinds, what, args.recursive, left_out)
    ]
    inputs = {_identity(item.source) for item in found} - {None}
    taken: dict[str, str] = {}
    jobs = []
    for item in found:
        output = _output(item, args.output, to_folder, suffix, keep_suffix=keep_suffix)
        job = Job(item.source, output, item.problem)
        if item.problem is None and output != STREAM:
            try:
                problem = (
                    _nameless(item.source, args.output)
                    or _danger(job, inputs)
                    or _misnamed(output, suffix, kinds)
                    or (_special(output) if several else None)
                )
                clash = None if problem else _clash(job, taken)
                if clash is not None:
                    problem, job = clash, replace(job, spare=True)
                elif problem is None and args.skip_existing and Path(output).is_file():
                    job = replace(job, done=True)
                else:
                    problem = problem or refusal(output, overwrite=args.overwrite)
            except OSError as error:  # a name too long, a folder that may not be entered
                problem = str(cannot_write(output, error))
            job = replace(job, problem=problem)
        jobs.append(job)
    return Plan(tuple(jobs), several, Path(args.output) if to_folder else None, left_out)


def _check_together(args: argparse.Namespace, several: bool, to_folder: bool) -> None:
    if STREAM in args.inputs and len(args.inputs) > 1:
        raise ConfigError("- is standard input, which goes alone: leave out the other inputs")
    output = args.output or (STREAM if args.inputs == [STREAM] else None)
    if args.keep_mtime and STREAM in (*args.inputs, output):
        raise ConfigError("- has no time: leave out --keep_mtime, or name files")
    if output == STREAM:
        if several:
            raise ConfigError(
                "several files cannot go to standard output: name a folder, as in -o DIR/"
            )
        if args.json:
            raise ConfigError("--json goes to standard output itself: name a file with -o")
        if output_is_closed():
            raise ConfigError("standard output is closed: name a file with -o")
        if sys.stdout.isatty():
            raise ConfigError("not written to a terminal: redirect it, or name a file with -o")
    elif to_folder and args.inputs == [STREAM]:
        raise ConfigError(f"{output} is a folder: name a file with -o")
    elif several and output and not to_folder:
        raise ConfigError(
            f"several files cannot go to one, {output}: add a slash if it is a folder, {output}/"
        )


def _expand(
    name: str,
    kinds: Collection[str],
    what: str,
    recursive: bool,
    left_out: dict[str, Counter[str]],
) -> Iterator[_Found]:
    """Yield the files of an input, and count the other files of a folder in `left_out`."""
    path = Path(name)
    if name == STREAM or (name and not _is_folder(name)):
        yield _Found(name, Path(path.name))
        return
    if not name or not recursive:
        title = name or "the empty name"
        problem = f"{title} is a folder: name one file, or add -r for all {what} in it"
        yield _Found(name, Path(), problem)
        return
    from slimcae.images.finding import find_files

    search = find_files(path, kinds)
    left_out[name] = search.left_out
    for error in search.closed:
        folder = str(error.filename)
        yield _Found(folder, Path(), f"folder {folder} cannot be read: {error.strerror or error}")
    if not search.files and not search.closed:
        problem = f"no {what} in {path} or its subfolders: searched for {' '.join(kinds)}"
        yield _Found(name, Path(), problem)
    for file in search.files:
        yield _Found(str(file), file.relative_to(path))


def _output(
    item: _Found, output: str | None, to_folder: bool, suffix: str, *, keep_suffix: bool
) -> str:
    if item.problem is not None:
        return ""
    if not to_folder and (output or item.source == STREAM):
        return output or STREAM
    place = Path(output, item.place) if output else Path(item.source)
    return str(place.with_name(place.name + suffix) if keep_suffix else place.with_suffix(suffix))


def _nameless(source: str, output: str | None) -> str | None:
    """Whether an input is a device, beside which no output belongs."""
    if output or str(Path(source).parent) not in _DEVICES:
        return None
    return f"{source} has no name for an output beside it: name one with -o"


def _misnamed(output: str, suffix: str, kinds: Collection[str]) -> str | None:
    """Return an error if the suffix of an output is that of an input format."""
    found = Path(output).suffix.lower()
    if found.removeprefix(".") not in kinds or found == suffix or _is_special(output):
        return None
    return f"{output} would not be a {found} file: give -o a name with suffix {suffix}"


def _special(output: str) -> str | None:
    """Return an error if an output of several is a device or a pipe, which may wait for long."""
    if not _is_special(output):
        return None
    return f"{output} is a device or a named pipe: compress or decompress its input alone, with -o"


def _is_special(name: str) -> bool:
    """Return whether a name is that of a device or a pipe."""
    path = Path(name)
    return path.exists() and not path.is_file() and not path.is_dir()


def _clash(job: Job, taken: dict[str, str]) -> str | None:
    """Return an error if an earlier job has this output; otherwise record the output."""
    place = os.path.normcase(os.path.realpath(job.output))  # of a loop of links, too
    if place in taken:
        return (
            f"{job.source} has the same output as {taken[place]}, {job.output}: "
            "process one of them alone with another -o, or use --keep_suffix"
        )
    taken[place] = job.source
    return None


def _danger(job: Job, inputs: set[tuple[int, int] | None]) -> str | None:
    """Return an error if the output is an input, of this job or of another."""
    there = _identity(job.output)
    if there is None or there not in inputs or not Path(job.output).is_file():
        return None
    whose = "the input itself" if there == _identity(job.source) else "another input"
    return f"{job.output} is {whose}: name another file with -o"


def _identity(name: str) -> tuple[int, int] | None:
    """Return device and inode, which all names of a file share; None if the file is missing."""
    try:
        status = Path(name).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _names_folder(name: str) -> bool:
    return name.endswith(("/", os.sep)) or _is_folder(name)


def _is_folder(name: str) -> bool:
    try:
        return bool(name) and Path(name).is_dir()
    except OSError:  # not accessible; opening it will raise the error
        return False
