"""Bytes and pictures from and to files, or `-` for standard input and output."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from slimcae.cli.standard import standard_input
from slimcae.errors import BitstreamError, ConfigError
from slimcae.files import read_stream

STREAM = "-"


def read_bitstream(source: str) -> bytes:
    """The bytes of a file or of standard input.

    Raises:
        BitstreamError: the file is missing or cannot be read.
        ConfigError: standard input is closed or cannot be read.
    """
    if source == STREAM:
        return read_standard_input().getvalue()
    try:
        with Path(source).open("rb") as file:
            return read_stream(file).getvalue()
    except OSError as error:
        raise cannot_read(source, error) from error


def read_standard_input() -> BytesIO:
    """All bytes of standard input.

    Raises:
        ConfigError: it is closed, has no end, or cannot be read (a folder, say).
    """
    try:
        return read_stream(standard_input())
    except OSError as error:
        raise ConfigError(f"standard input cannot be read: {error.strerror or error}") from error


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Put the name of the file before what is said to be wrong with its bytes."""
    try:
        yield
    except BitstreamError as error:
        raise BitstreamError(f"{source}: {error}", field=error.field) from error


def check_output(source: str, output: str, *, overwrite: bool) -> None:
    """Refuse an output that would cost a file or cannot be written.

    Raises:
        ConfigError: the input itself, an existing file without leave to replace it, a folder, or
            a missing folder.
    """
    path = Path(output)
    same = path.is_file() and Path(source).exists() and path.samefile(source)
    problem = (
        f"{output} is the input itself: name another file with -o"
        if same
        else refusal(output, overwrite=overwrite) or missing_parent(output)
    )
    if problem is not None:
        raise ConfigError(problem)


def refusal(output: str, *, overwrite: bool, flag: str = "-o") -> str | None:
    """Why an output must not be written: a folder, or a file without leave to replace it.

    flag: the one that names the output.
    """
    path = Path(output)
    if path.is_dir():
        return f"{output} is a folder: name a file with {flag}"
    if path.is_file() and not overwrite:
        return f"{output} exists: add -y to replace it, or name another file with {flag}"
    return None


def missing_parent(output: str, flag: str = "-o") -> str | None:
    """Why an output cannot be written: there is no folder for it."""
    parent = Path(output).parent
    if parent.is_dir():
        return None
    return f"no folder {parent} to write to: create it, or change {flag}"


def write_stream(data: bytes) -> None:
    """Write to standard output, all of it: with PYTHONUNBUFFERED one call may write a part.

    Raises:
        BrokenPipeError: whoever read it has gone.
        ConfigError: it cannot be written: the disk is full, say.
    """
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[sys.stdout.buffer.write(rest) :]
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write("standard output", error) from error


def write_output(
    source: str, output: str, write: Callable[[Path], None], *, overwrite: bool
) -> None:
    """Let `write` make an output file; folders above it are created.

    Raises:
        ConfigError: it exists by now and `overwrite` is not given, or cannot be written.
    """
    make_folder(Path(output).parent)
    check_output(source, output, overwrite=overwrite)  # again: others write files too
    try:
        write(Path(output))
    except OSError as error:
        raise cannot_write(output, error) from error


def copy_mtime(source: str, output: str) -> None:
    """Give an output the time of the last change of its source.

    Raises:
        ConfigError: the system refuses.
    """
    try:
        times = Path(source).stat()
        os.utime(output, ns=(times.st_atime_ns, times.st_mtime_ns))
    except OSError as error:
        raise cannot_write(output, error) from error


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, unless it is there.

    Raises:
        ConfigError: the system refuses, or a file has that name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"folder {folder} cannot be created ({error.strerror or error}): change -o"
        ) from error


def cannot_read(source: str, error: OSError) -> BitstreamError:
    """The error for a file that the system does not let us read."""
    return BitstreamError(f"{source} cannot be read: {error.strerror or error}; check the path")


def cannot_write(output: str, error: OSError) -> ConfigError:
    """The error for a place that the system refuses; its own message may name a temporary file."""
    return ConfigError(f"{output} cannot be written: {error.strerror or error}")
