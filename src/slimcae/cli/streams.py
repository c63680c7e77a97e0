"""Reading and writing of files, or of standard input and output for `-`."""

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
    """Return the bytes of a file or of standard input.

    Raises:
        BitstreamError: The file is missing or cannot be read.
        ConfigError: Standard input is closed or cannot be read.
    """
    if source == STREAM:
        return read_standard_input().getvalue()
    try:
        with Path(source).open("rb") as file:
            return read_stream(file).getvalue()
    except OSError as error:
        raise cannot_read(source, error) from error


def read_standard_input() -> BytesIO:
    """Return all bytes of standard input.

    Raises:
        ConfigError: Standard input is closed, endless, or cannot be read (for example a folder).
    """
    try:
        return read_stream(standard_input())
    except OSError as error:
        raise ConfigError(f"standard input cannot be read: {error.strerror or error}") from error


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Prefix errors about the content of a file with its name."""
    try:
        yield
    except BitstreamError as error:
        raise BitstreamError(f"{source}: {error}", field=error.field) from error


def check_output(source: str, output: str, *, overwrite: bool) -> None:
    """Check that an output can be written without losing a file.

    Raises:
        ConfigError: The output is the input, an existing file without `overwrite`, a folder, or in
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
    """Return why an output must not be written: it is a folder or a terminal, or it exists.

    flag: the option for the output.
    """
    path = Path(output)
    if path.is_dir():
        return f"{output} is a folder: name a file with {flag}"
    if path.is_char_device() and _is_terminal(path):
        return f"{output} is a terminal: redirect it, or name a file with {flag}"
    if path.is_file() and not overwrite:
        return f"{output} exists: add -y to replace it, or name another file with {flag}"
    return None


def _is_terminal(device: Path) -> bool:
    try:
        number = os.open(device, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))
    except OSError:  # writing will raise it again
        return False
    try:
        return os.isatty(number)
    finally:
        os.close(number)


def missing_parent(output: str, flag: str = "-o") -> str | None:
    """Return an error if the folder of an output is missing."""
    parent = Path(output).parent
    if parent.is_dir():
        return None
    return f"no folder {parent} to write to: create it, or change {flag}"


def write_stream(data: bytes | memoryview) -> None:
    """Write all bytes to standard output; with PYTHONUNBUFFERED, one call may write only a part.

    Raises:
        BrokenPipeError: The reader has closed the pipe.
        ConfigError: Writing failed, for example because the disk is full.
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
    """Write an output file with `write`, and create its parent folders.

    Raises:
        ConfigError: The file exists by now and `overwrite` is False, or it cannot be written.
    """
    make_folder(Path(output).parent)
    check_output(
        source, output, overwrite=overwrite
    )  # again, since another program may have created the file
    try:
        write(Path(output))
    except OSError as error:
        raise cannot_write(output, error) from error


def copy_mtime(source: str, output: str) -> None:
    """Copy the modification time of the source to the output.

    Raises:
        ConfigError: The system does not allow it.
    """
    try:
        times = Path(source).stat()
        os.utime(output, ns=(times.st_atime_ns, times.st_mtime_ns))
    except OSError as error:
        raise cannot_write(output, error) from error


def make_folder(folder: Path) -> None:
    """Create a folder and its parents if they are missing.

    Raises:
        ConfigError: The system does not allow it, or a file has that name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"folder {folder} cannot be created ({error.strerror or error}): change -o"
        ) from error


def cannot_read(source: str, error: OSError) -> BitstreamError:
    """Return the error for a file that cannot be read."""
    return BitstreamError(f"{source} cannot be read: {error.strerror or error}; check the path")


def cannot_write(output: str, error: OSError) -> ConfigError:
    """Return the error for an output that cannot be written, without naming temporary files."""
    return ConfigError(f"{output} cannot be written: {error.strerror or error}")
