"""Connections of the server, with timeouts for silent and stalled clients."""

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
    """Return the server of an application, to run with a listening socket."""
    settings = uvicorn.Config(
        app,
        http=partial(Connection, limits, {}),  # type: ignore[arg-type]  # a class to uvicorn
        log_level="critical",  # the studio reports errors itself
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(settings)


class Connection(H11Protocol):
    """One connection, which is closed if its client stalls for `limits.stall_seconds`.

    This applies to the head of a request (408) and to a response that the client does not read;
    `slimcae.studio.uploads` reads bodies. Beyond `limits.connections`, the connection that has been
    idle longest is closed. Errors before a request reaches the application are JSON, too.

    waiting: all idle connections of the server, longest first.
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
        """Start a request once its head is complete."""
        super().handle_events()
        if self._is_at_work:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn closes idle connections."""
        self._has_begun = False
        self._waiting[self] = None
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Reject invalid HTTP."""
        self._refuse(400, "this is no valid HTTP request")

    def pause_writing(self) -> None:
        """Wait for a client that reads a response slowly."""
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
        """Send an error, unless a response has begun, and close the connection."""
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
        """Close the connection if the client has read nothing since `left` bytes were left."""
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
