"""Connections of the server: those that say nothing, or stop in the middle, are given up."""

import asyncio
import json
from functools import partial
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from slimcae.studio.limits import Limits


def server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """The server of an application, to run with a socket that listens."""
    settings = uvicorn.Config(
        app,
        http=partial(Connection, limits, {}),  # type: ignore[arg-type]  # a class to uvicorn
        log_level="critical",  # what goes wrong is said by us
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(settings)


class Connection(H11Protocol):
    """One connection, which is closed when its client does not go on for `limits.stall_seconds`.

    That is for the head of a request (408) and for a response that nobody takes; bodies are read
    by `slimcae.studio.uploads`. Beyond `limits.connections` the one that has waited longest without
    a request is closed. Errors before a request reaches the application are JSON, too.

    waiting: all connections of the server without a request, in the order of their waiting.
    """

    def __init__(self, limits: Limits, waiting: "dict[Connection, None]", **settings: Any) -> None:
        super().__init__(**settings)
        self._limits = limits
        self._waiting = waiting
        self._head: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None
        self._has_begun = False

    @property
    def _is_at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self._limits.connections:
            first = next(iter(self._waiting))
            if first is self:
                self._refuse(503, "too many connections: try again in a moment")
            else:
                first.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        self._cancel_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        if self.transport.is_closing():
            return
        if not self._is_at_work and self._head is None:
            self._wait()
        self._has_begun = True
        super().data_received(data)

    def handle_events(self) -> None:
        """Start what is asked for, once the head of a request is whole."""
        super().handle_events()
        if self._is_at_work:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn closes a connection that says nothing more."""
        self._has_begun = False
        self._waiting[self] = None
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(400, "this is no valid HTTP request")

    def pause_writing(self) -> None:
        """Wait for a client that takes a response slower than it is made."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """Go on."""
        self._cancel_reader()
        super().resume_writing()

    def _wait(self) -> None:
        self._waiting[self] = None
        self._head = self.loop.call_later(self._limits.stall_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        self._waiting.pop(self, None)
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _give_up(self) -> None:
        self._head = None
        if self._has_begun:
            self._refuse(408, "the request does not go on: send it again")
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, words: str) -> None:
        """Answer with an error, unless another answer has begun, and close."""
        if self.transport.is_closing():
            return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": words}).encode()
            lines = (
                b"HTTP/1.1 %d %s" % (status, STATUS_PHRASES[status]),
                b"content-type: application/json",
                b"content-length: %d" % len(body),
                b"cache-control: no-store",
                b"x-content-type-options: nosniff",
                b"connection: close",
            )
            self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()

    def _watch_reader(self, left: int | None = None) -> None:
        """Give up a client that has taken nothing since `left` bytes were left."""
        size = self.transport.get_write_buffer_size()
        if left is not None and size >= left:
            self.transport.abort()
            return
        self._cancel_reader()
        seconds = self._limits.stall_seconds
        self._reader = self.loop.call_later(seconds, self._watch_reader, size)

    def _cancel_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
