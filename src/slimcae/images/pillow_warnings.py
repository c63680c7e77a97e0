"""Conversion of Pillow's warnings about a picture to log messages that name the picture."""

import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

log = logging.getLogger("slimcae")

_MODULES = r"(PIL|pillow_\w+)(\.|$)"
"""Modules of Pillow and of its plugins."""

_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)


class _Listening:
    """Python's warning filters and hook, which are global to all threads.

    The first thread that needs it changes them, and the last one restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: warnings.catch_warnings[None] | None = None
        self._show: Callable[..., None] = warnings.showwarning

    def begin(self) -> None:
        with self._lock:
            self._inside += 1
            if self._before is not None:
                return
            self._before = warnings.catch_warnings()
            self._before.__enter__()
            self._show = warnings.showwarning
            # not as errors, which would stop the reading, and not only once for all pictures
            warnings.filterwarnings("always", module=_MODULES)
            warnings.showwarning = self._hear

    def end(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._before is not None:
                self._before.__exit__(None, None, None)
                self._before = None

    def _hear(self, message: Warning | str, *rest: Any, **more: Any) -> None:
        heard = _heard.get()
        if heard is None:  # a warning of another thread
            self._show(message, *rest, **more)
        else:
            heard.append(" ".join(str(message).split()))


_listening = _Listening()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    # a lock held by another thread would stay locked in the child
    os.register_at_fork(after_in_child=_listening.__init__)  # type: ignore[misc]


@contextmanager
def pillow_warnings(name: str | None) -> Iterator[None]:
    """Turn Pillow's warnings in the context into one log message; None drops them."""
    heard: list[str] = []
    token = _heard.set(heard)
    _listening.begin()
    try:
        yield
    finally:
        _listening.end()
        _heard.reset(token)
        if heard and name is not None:
            log.warning("%s: %s", name, "; ".join(dict.fromkeys(heard)))


def warn_instead(message: str, *args: object) -> None:
    """Log a message instead of Pillow's earlier warnings about the same fact."""
    heard = _heard.get()
    if heard is not None:
        heard.clear()
    log.warning(message, *args)
