"""SIGTERM and SIGHUP as an exception, so that nothing half written is left behind."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Stopped(BaseException):
    """A signal asks the program to end; no `except Exception` may keep it from that."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


@contextmanager
def stopping() -> Iterator[None]:
    """While entered, SIGTERM and SIGHUP raise `Stopped` where they would have ended the process.

    The first alone does, so that a second one cannot interrupt the clean-up. Whoever ignores one of
    them (nohup) or handles it keeps doing so.
    """
    # Python delivers signals to its main thread only
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]

    def stop(number: int, frame: FrameType | None) -> None:
        for each in ours:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
