"""Standard streams of the process, with handling of closed and broken ones."""

import os
import sys
from typing import BinaryIO

from slimcae.errors import ConfigError


def open_closed_streams() -> None:
    """Open the null device in place of standard streams that were closed at the start.

    Otherwise the next opened file would get the number of the stream, and the output of libraries.
    Python represents a closed stream by None, with which printing to stderr prints to stdout.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def output_is_closed() -> bool:
    """Return whether standard output was closed at the start of the process."""
    return sys.__stdout__ is None and getattr(sys.stdout, "name", "") == os.devnull


def standard_input() -> BinaryIO:
    """Return standard input as a binary file.

    Raises:
        ConfigError: Standard input is closed.
    """
    if sys.stdin is None:
        raise ConfigError("standard input is closed: name a file instead of -")
    return sys.stdin.buffer


def flush_standard_streams() -> None:
    """Flush the streams, and drop data that cannot be written, about which Python would complain.

    Relevant failures were reported before.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            drop_output(stream)


def drop_output(stream: object) -> None:
    """Discard the buffered and all further output of a broken stream."""
    try:
        number = stream.fileno()  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):  # closed, or not a file
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
