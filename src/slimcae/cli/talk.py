"""What the commands say on stderr: log messages, errors, and how much of them is wanted."""

import argparse
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from slimcae.cli.failure import with_next_step
from slimcae.cli.standard import drop_output

LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


def add_talk_options(options: argparse._ActionsContainer, level: int) -> None:
    """Options -v and --quiet around the `level` of messages that a command shows by default."""
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
    """While entered, the package's log messages and warnings appear on stderr as lines of ours."""
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
    """Say what a library warns of, as a line of ours."""
    logging.getLogger("slimcae").warning("%s (%s)", message, category.__name__)


def print_error(message: str) -> None:
    """The one line of a failure."""
    say(f"error: {message}")


def say(message: str) -> None:
    """One line on stderr that begins with our name, whatever the message holds."""
    note(f"slimcae: {message}")


def note(text: str) -> None:
    """One line on stderr; where nobody can read it, work goes on without."""
    try:
        put_line(text, sys.stderr)
    except (OSError, ValueError):  # its reader has gone, the disk is full, it was closed
        drop_output(sys.stderr)


def put_line(text: str, file: TextIO) -> None:
    """One line on a stream, above a progress bar if there is one."""
    # in one piece, or Ctrl-C between a text and its end joins the next line to it
    line = " ".join(text.splitlines()) + "\n"
    progress = sys.modules.get("tqdm")
    if progress is None:
        file.write(line)
    else:
        progress.tqdm.write(line, file=file, end="")
    file.flush()


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno == logging.WARNING else ""
        say(prefix + with_next_step(record.getMessage(), getattr(record, "field", None)))
