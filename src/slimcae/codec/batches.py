"""Several pictures or files, one after the other or in threads, with results in their order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, SupportsIndex, TypeVar, cast

from PIL import Image

from slimcae.container import Reader
from slimcae.errors import ConfigError, SettingError, SlimCAEError
from slimcae.images import Picture
from slimcae.model.config import whole_number

Item = TypeVar("Item")
Result = TypeVar("Result")

_SINGLE = (str, bytes, bytearray, memoryview, os.PathLike, Image.Image, Picture, Reader)
"""What is one picture or file, although some of these can be iterated."""
_BATCH_AXES = 4


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], jobs: SupportsIndex, what: str
) -> Iterator[Result]:
    """Return an iterator over the results of items, which are taken when they are needed.

    jobs: number of items at a time, each in a thread. what: the name of an item in errors, which
    begin with it and the item's number, from 0 on.

    Raises:
        ConfigError: one item instead of several, or an impossible number of jobs.
    """
    count = whole_number(jobs)
    if count is None or count < 1:
        raise SettingError("jobs", repr(jobs), "a whole number from 1")
    _check(items, what)

    def numbered(number: int, item: Item) -> Result:
        with _naming(f"{what} {number}"):
            return work(item)

    return _one_by_one(numbered, items) if count == 1 else _in_threads(numbered, items, count)


def _one_by_one(work: Callable[[int, Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    for number, item in enumerate(items):
        yield work(number, item)


def _in_threads(
    work: Callable[[int, Item], Result], items: Iterable[Item], jobs: int
) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(jobs, "slimcae-batch") as pool:
        try:
            for number, item in enumerate(items):
                waiting.append(pool.submit(work, number, item))
                if len(waiting) > jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _check(items: object, what: str) -> None:
    shape = getattr(items, "shape", None)
    # arrays of objects and texts are lists, for example of paths
    is_list = getattr(getattr(items, "dtype", None), "kind", None) in ("O", "U", "S")
    if shape is not None and not is_list and what == "file":
        raise ConfigError(f"an array of shape {tuple(shape)} holds no files: give a list of files")
    if shape is not None and not is_list and len(shape) != _BATCH_AXES:
        raise ConfigError(f"an array of shape {tuple(shape)} is no batch: give (N, H, W, C)")
    single = isinstance(items, _SINGLE) or hasattr(items, "read")
    if single or not isinstance(items, Iterable):
        kind = type(cast(Any, items)).__name__
        raise ConfigError(f"{kind} is not several: give a list of {what}s")


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put the name of an item before what is said to be wrong with it."""
    try:
        yield
    except SlimCAEError as error:
        error.args = (f"{name}: {error}", *error.args[1:])
        raise
