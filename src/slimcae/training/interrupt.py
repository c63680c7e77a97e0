"""Ctrl-C, SIGTERM and SIGHUP as a request to stop, checked between two training steps."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

log = logging.getLogger("slimcae")

_SIGNALS = {
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
}


class StopRequest:
    """While entered, the first of these signals sets `signal`; Ctrl-C after it acts as usual.

    SIGTERM may come twice, to the process and to its group, and ends nothing at once. SIGHUP is
    left alone where it is ignored (nohup).
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._process = os.getpid()
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Python delivers signals to its main thread only
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                ignored = signal.getsignal(number) == signal.SIG_IGN
                if not (ignored and number == getattr(signal, "SIGHUP", None)):
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore(self._previous)
        self._previous.clear()

    def __bool__(self) -> bool:
        return self.signal is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker, which the main process ends
            return
        if self.signal is not None:
            return
        self.signal = number
        # a second Ctrl-C in the terminal stops at once
        self._restore({signal.SIGINT: self._previous.get(signal.SIGINT)})
        log.warning("stopping after this step; Ctrl-C stops at once")

    def _restore(self, handlers: dict[int, Any]) -> None:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


@contextmanager
def signals_held() -> Iterator[None]:
    """Block these signals in the context; processes started in it inherit the block."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_signals(worker: int) -> None:
    """Let a worker process ignore signals to its whole group; its parent ends it."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
