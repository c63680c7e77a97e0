"""Jobs in a bounded number of threads, with progress and cancellation."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

from slimcae.studio.failures import ClientGoneError, Refused

Receive = Callable[[], Awaitable[Any]]
T = TypeVar("T")

_CALM_SECONDS = 0.02
"""Interval in seconds at which background jobs check whether they may run."""


@dataclass
class Job:
    """A running computation.

    stage: description of the current stage. done: finished steps. of: total number of steps, 0 if
    unknown.
    """

    stage: str = "waiting"
    done: int = 0
    of: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def tick(self) -> None:
        """Count one step.

        Raises:
            ClientGoneError: The client has disconnected.
        """
        if self.stopped.is_set():
            raise ClientGoneError
        self.done += 1


_job: ContextVar[Job | None] = ContextVar("job", default=None)


def tick() -> None:
    """Count one step of the job in this thread, or end it if it was stopped."""
    job = _job.get()
    if job is not None:
        job.tick()


def stage(words: str, of: int = 0) -> None:
    """Set the next stage of the job in this thread, and its number of steps."""
    job = _job.get()
    if job is not None:
        job.stage, job.done, job.of = words, 0, of


class Workshop:
    """A few threads for the work of requests, with a bounded queue.

    Everything except the work itself runs on the event loop.
    """

    def __init__(self, workers: int, waiting: int) -> None:
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = None
        self._room = workers + waiting
        self._lock = threading.Lock()
        self._pending = 0
        self._foreground = 0
        self._named: dict[str, Job] = {}

    async def run(
        self,
        receive: Receive,
        function: Callable[[], T],
        *,
        name: str | None = None,
        background: bool = False,
    ) -> T:
        """Run a function in one of the threads, and return its result.

        receive: of the request; the job is stopped if its client disconnects. name: name of the job
        for `progress`. background: give precedence to all other jobs.

        Raises:
            Refused: 503, if too many jobs are waiting.
            ClientGoneError: The client has disconnected.
        """
        while background and self._foreground:
            await asyncio.sleep(_CALM_SECONDS)
        if self._pending >= self._room:
            raise Refused(503, "too many requests at once: try again in a moment")
        job = Job()
        context = copy_context()
        context.run(_job.set, job)
        with self._lock:
            self._pending += 1
        future = self._threads().submit(context.run, function)
        future.add_done_callback(self._ended)
        with self._counted(background), self._named_job(name, job):
            return await _result(future, job, receive)

    def progress(self, name: str) -> Job | None:
        """Return the running job with a name."""
        return self._named.get(name)

    def start(self, function: Callable[[], object]) -> None:
        """Run a function in a thread without waiting for it."""
        self._threads().submit(function)

    def close(self) -> None:
        """Stop without waiting for running jobs; later jobs get new threads."""
        for job in self._named.values():
            job.stopped.set()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="studio")
        return self._pool

    def _ended(self, _: "Future[Any]") -> None:
        with self._lock:
            self._pending -= 1

    @contextmanager
    def _counted(self, background: bool) -> Iterator[None]:
        self._foreground += not background
        try:
            yield
        finally:
            self._foreground -= not background

    @contextmanager
    def _named_job(self, name: str | None, job: Job) -> Iterator[None]:
        if name is None:
            yield
            return
        self._named[name] = job
        try:
            yield
        finally:
            if self._named.get(name) is job:
                del self._named[name]


async def _result(future: "Future[T]", job: Job, receive: Receive) -> T:
    waiting = asyncio.wrap_future(future)
    waiting.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        both: set[asyncio.Future[Any]] = {waiting, gone}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise ClientGoneError
        return waiting.result()
    finally:
        job.stopped.set()
        future.cancel()  # if it has not begun
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
