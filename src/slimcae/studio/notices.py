"""Notices about parts that were left out when a file was read, sent to the client."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-SlimCAE-Notice"

_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)


@contextmanager
def heard() -> Iterator[list[str]]:
    """Yield a list of the warnings that this thread logs in the context."""
    notices: list[str] = []
    token = _heard.set(notices)
    try:
        yield notices
    finally:
        _heard.reset(token)


def headers(notices: list[str]) -> dict[str, str] | None:
    """Return notices as a response header."""
    if not notices:
        return None
    text = "; ".join(notices).encode("ascii", "replace").decode()
    return {HEADER: "".join(letter if letter.isprintable() else " " for letter in text)}


def _overhear(record: logging.LogRecord) -> bool:
    notices = _heard.get()
    if notices is not None and record.levelno >= logging.WARNING:
        notices.append(record.getMessage())
    return True


# a filter, not a handler, because a logger with a handler no longer writes to stderr by default
logging.getLogger("slimcae").addFilter(_overhear)
