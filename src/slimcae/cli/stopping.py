"""Ctrl-C, SIGTERM and SIGHUP as exceptions, so that clean-up removes partial outputs."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Stopped(BaseException):
    """A signal asks the program to end; not an `Exception`, which other code might catch."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


_AGAIN_SECONDS = 1.0
_received: list[BaseException] = []
"""The exception of the first signal, if one has arrived."""


def raise_if_stopped() -> None:
    """Raise the exception of a signal again, if one has arrived.

    Libraries can lose it: pybind11 turns it into an ImportError without a cause, for example.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
        Stopped: SIGTERM or SIGHUP arrived.
    """
    # signals stop the main thread only; others finish what they write
    if _received and threading.current_thread() is threading.main_thread():
        raise _received[0]


@contextmanager
def stopping() -> Iterator[None]:
    """Make SIGTERM and SIGHUP raise `Stopped`, and SIGINT KeyboardInterrupt, within the context.

    Only the first SIGTERM or SIGHUP does, so a second one cannot interrupt the clean-up; Ctrl-C
    counts again after `_AGAIN_SECONDS`, because wrappers may pass one on twice. Signals that are
    already ignored (nohup) or handled are not changed.
    """
    # Python delivers signals to its main thread only
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    ours = [
        number
        for number, handler in before.items()
        if handler in (signal.SIG_DFL, signal.default_int_handler)
    ]

    first = 0.0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if _received and (number != signal.SIGINT or now < first + _AGAIN_SECONDS):
            return
        first = now
        _received.append(KeyboardInterrupt() if number == signal.SIGINT else Stopped(number))
        raise _received[-1]

    _received.clear()
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
        _received.clear()
