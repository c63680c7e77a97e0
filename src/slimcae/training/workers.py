"""Parallel processing of pictures, with one thread for each and single-threaded torch."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread per operation."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, in order, with as many threads as torch has.

    At most two results per thread are pending, which bounds memory. A consumer that stops early
    waits for the running ones.
    """
    count = torch.get_num_threads()
    pending: deque[tuple[Item, Future[Result]]] = deque()
    with (
        one_thread(),
        ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        try:
            for item in items:
                pending.append((item, pool.submit(work, item)))
                if len(pending) > 2 * count:
                    done, result = pending.popleft()
                    yield done, result.result()
            while pending:
                done, result = pending.popleft()
                yield done, result.result()
        finally:
            for _, future in pending:
                future.cancel()
