"""SIGTERM and SIGHUP as an exception, so that clean-up removes partial outputs."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Stopped(BaseException):
    """A signal asks the program to end; not an `Exception`, which other code might catch."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


@contextmanager
def stopping() -> Iterator[None]:
    """Make SIGTERM and SIGHUP raise `Stopped` instead of ending the process, within the context.

    Only the first signal does, so a second one cannot interrupt the clean-up. Signals that are
    already ignored (nohup) or handled are not changed.
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
