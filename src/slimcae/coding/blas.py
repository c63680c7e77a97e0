"""One thread for small matrix products.

A context network makes hundreds of products that take less than the start of a second thread, and
threads of numpy's BLAS and of torch wait for each other by computing: with two threads each, a
picture took twice as long to decode.
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
    """Let numpy's products use one thread, in the whole process, until the last block ends."""
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

    return ThreadpoolController()  # looks for the libraries, which takes a millisecond


def _take_control() -> None:
    """Make the next change count, whichever thread makes it.

    threadpoolctl from 3.7 on lets only the first thread change OpenBLAS, and ignores others. Here
    one thread may begin and another end, which the lock keeps apart.
    """
    from threadpoolctl import OpenBLASController

    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


def _begin_anew() -> None:
    """Forget the threads of the process that this one was forked from, which may hold the lock."""
    global _lock, _inside
    _lock, _inside = threading.Lock(), 0


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_begin_anew)
