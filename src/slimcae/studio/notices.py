"""What was left out while a file was read, for the client: it does not see the terminal."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-SlimCAE-Notice"

_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)


@contextmanager
def heard() -> Iterator[list[str]]:
    """The warnings that are logged in this block, by this thread."""
    notices: list[str] = []
    token = _heard.set(notices)
    try:
        yield notices
    finally:
        _heard.reset(token)


def headers(notices: list[str]) -> dict[str, str] | None:
    """Notices as a header of a response."""
    if not notices:
        return None
    text = "; ".join(notices).encode("ascii", "replace").decode()
    return {HEADER: "".join(letter if letter.isprintable() else " " for letter in text)}


def _overhear(record: logging.LogRecord) -> bool:
    notices = _heard.get()
    if notices is not None and record.levelno >= logging.WARNING:
        notices.append(record.getMessage())
    return True


# a filter, not a handler: a logger with a handler would not write to a plain stderr any more
logging.getLogger("slimcae").addFilter(_overhear)
