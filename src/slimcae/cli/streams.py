"""Where a command reads and writes: files, or `-` for standard input and output."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slimcae.errors import BitstreamError, ConfigError
from slimcae.files import write_bytes

STREAM = "-"


def default_output(source: str, suffix: str) -> str:
    """The name of the output beside the input; standard input goes to standard output."""
    if source == STREAM:
        return STREAM
    if not Path(source).name or Path(source).is_dir():
        raise ConfigError(f"{source or 'the empty name'} is a folder: name one file")
    return str(Path(source).with_suffix(suffix))


def check_output(source: str, output: str, *, overwrite: bool) -> None:
    """Refuse an output that would cost a file or cannot be written, before any work is done.

    Raises:
        ConfigError: the input itself, an existing file without leave to replace it, a folder, a
            missing folder, or a terminal.
    """
    if output == STREAM:
        if sys.stdout.isatty():
            raise ConfigError("not written to a terminal: redirect it, or name a file with -o")
        return
    path = Path(output)
    if path.is_dir():
        raise ConfigError(f"{output} is a folder: name a file with -o")
    if not path.parent.is_dir():
        raise ConfigError(f"no folder {path.parent} to write to: create it, or change -o")
    if not path.is_file():
        return
    if source != STREAM and Path(source).exists() and path.samefile(source):
        raise ConfigError(f"{output} is the input itself: name another file with -o")
    if not overwrite:
        raise ConfigError(f"{output} exists: add -y to replace it, or name another file with -o")


def read_bitstream(source: str) -> bytes:
    """The bytes of a file or of standard input.

    Raises:
        BitstreamError: the file is missing or cannot be read.
    """
    if source == STREAM:
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise BitstreamError(
            f"{source} cannot be read: {error.strerror or error}; check the path"
        ) from error


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Put the name of the file before what is said to be wrong with its bytes."""
    try:
        yield
    except BitstreamError as error:
        raise BitstreamError(f"{source}: {error}") from error


def write_output(output: str, data: bytes) -> None:
    """Write a file, whole or not at all, or to standard output.

    Raises:
        ConfigError: the file cannot be written.
    """
    if output == STREAM:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        write_bytes(Path(output), data)
    except OSError as error:
        raise cannot_write(output, error) from error


def cannot_write(output: str, error: OSError) -> ConfigError:
    """The error for a place that the system refuses; its own message may name a temporary file."""
    return ConfigError(f"{output} cannot be written: {error.strerror or error}")
