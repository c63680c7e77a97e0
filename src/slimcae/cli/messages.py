"""Output of the commands to stderr: log messages, errors, and the options for their level."""

import argparse
import logging
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from slimcae.cli.failure import with_next_step
from slimcae.cli.standard import drop_output

LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


def add_talk_options(options: argparse._ActionsContainer, level: int) -> None:
    """Add -v and --quiet; `level` is the level of messages that a command shows by default."""
    options.set_defaults(level=level)
    group = options.add_mutually_exclusive_group()
    group.add_argument(
        "-v",
        "--verbose",
        dest="level",
        action="store_const",
        const=LEVELS[LEVELS.index(level) + 1],
        help="print more messages",
    )
    group.add_argument(
        "--quiet", dest="level", action="store_const", const=logging.ERROR, help="print errors only"
    )


@contextmanager
def talking(args: argparse.Namespace) -> Iterator[None]:
    """Show the package's log messages and warnings as lines on stderr, within the context."""
    log = logging.getLogger("slimcae")
    handler, before = _Stderr(), log.level
    log.addHandler(handler)
    log.setLevel(args.level)
    with warnings.catch_warnings():
        warnings.showwarning = _log_warning
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(before)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a library's warning as one line."""
    logging.getLogger("slimcae").warning("%s (%s)", message, category.__name__)


def print_error(message: str) -> None:
    """Print the line of a failure."""
    say(f"error: {message}")


def say(message: str) -> None:
    """Print one line on stderr that begins with "slimcae: "."""
    note(f"slimcae: {message}")


def note(text: str) -> None:
    """Print one line on stderr, and ignore failures to write it."""
    try:
        put_line(text, sys.stderr)
    except (OSError, ValueError):  # the pipe is broken, the disk is full, or the stream is closed
        drop_output(sys.stderr)


def put_line(text: str, file: TextIO) -> None:
    """Print one line on a stream, above a progress bar if there is one."""
    # a single write, because Ctrl-C between text and line end would join the next line to it
    line = " ".join(map(printable, text.splitlines())) + "\n"
    progress = sys.modules.get("tqdm")
    if progress is None:
        file.write(line)
    else:
        progress.tqdm.write(line, file=file, end="")
    file.flush()


def printable(text: str) -> str:
    """Escape the control characters of a text, which file names may send to the terminal."""
    return "".join(
        char if char == "\t" or unicodedata.category(char) != "Cc" else f"\\x{ord(char):02x}"
        for char in text
    )


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno == logging.WARNING else ""
        say(prefix + with_next_step(record.getMessage(), getattr(record, "field", None)))
