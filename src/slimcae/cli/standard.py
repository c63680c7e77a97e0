"""Standard input, output and error of the process, also where they are closed or broken."""

import os
import sys
from typing import BinaryIO

from slimcae.errors import ConfigError


def open_closed_streams() -> None:
    """Open nothing in place of standard streams that were closed when the process began.

    Else the next file that is opened would take a stream's number, and get what libraries print.
    Python has None in place of such a stream, where printing to stderr prints to stdout.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def output_is_closed() -> bool:
    """Whether standard output was closed when the process began."""
    return sys.__stdout__ is None and getattr(sys.stdout, "name", "") == os.devnull


def standard_input() -> BinaryIO:
    """The bytes of standard input.

    Raises:
        ConfigError: it is closed.
    """
    if sys.stdin is None:
        raise ConfigError("standard input is closed: name a file instead of -")
    return sys.stdin.buffer


def flush_standard_streams() -> None:
    """Write what is left; what cannot be written is dropped, or Python would complain at its end.

    A failure that matters was reported before.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            drop_output(stream)


def drop_output(stream: object) -> None:
    """Send what a broken stream still holds, and all that comes, to nowhere."""
    try:
        number = stream.fileno()  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):  # closed, or no file at all
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
