"""Limit small matrix products to one thread.

A context network computes hundreds of products that take less time than starting a second thread.
Waiting BLAS and torch threads also compete for the cores: with two threads each, decoding a picture
took twice as long.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_lock = threading.Lock()
_inside = 0
_limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit numpy's BLAS to one thread, process-wide, until the last such block ends."""
    global _inside, _limit
    with _lock:
        if not _inside:
            _take_control()
            _limit = _controller().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _take_control()
                _limit.restore_original_limits()


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()  # searching for the libraries takes a millisecond


def _take_control() -> None:
    """Let the current thread change the number of OpenBLAS threads.

    From version 3.7 on, threadpoolctl ignores all threads but the first that changed it. Here one
    thread may begin and another end; the lock serializes them.
    """
    from threadpoolctl import OpenBLASController

    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


def _reset_after_fork() -> None:
    """Reset the state in a forked child; threads of the parent may have held the lock."""
    global _lock, _inside
    _lock, _inside = threading.Lock(), 0


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_reset_after_fork)
