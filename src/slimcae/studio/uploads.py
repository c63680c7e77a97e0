"""Request bodies, with limits on each, on their total, and on time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

from fastapi import Request

from slimcae.studio.failures import Refused
from slimcae.studio.limits import Limits


class Uploads:
    """Reads bodies, and bounds the total size of all requests."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body of a request, which counts towards the limit until the context ends.

        Raises:
            Refused: 413, 400 for an empty body, 408 for a stalled one, or 503.
        """
        stream = self._going_on(request.stream())
        if _declared(request) > self._limits.max_bytes:
            await self._refuse_large(stream, "expect" in request.headers)
        parts: list[bytes] = []
        held = 0
        try:
            async for part in stream:
                held += len(part)
                self._held += len(part)
                if held > self._limits.max_bytes:
                    parts.clear()
                    await self._refuse_large(stream, patient=False)
                if self._held > self._limits.body_bytes:
                    raise Refused(503, "too many uploads at once: try again in a moment")
                parts.append(part)
            if not held:
                raise Refused(400, "the request has no body: send the bytes of a file")
            data = b"".join(parts)
            parts.clear()
            yield data
        finally:
            self._held -= held

    async def _going_on(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the parts of a body while enough of it arrives.

        Raises:
            Refused: 408.
        """
        clock, brought = asyncio.get_running_loop(), 0
        end = clock.time() + self._limits.stall_seconds
        while True:
            try:
                async with asyncio.timeout_at(end):
                    part = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise Refused(408, "the body does not go on: send it again") from None
            yield part
            # the time for processing a part does not count
            brought += len(part)
            if brought >= self._limits.stall_bytes:
                end, brought = clock.time() + self._limits.stall_seconds, 0

    async def _refuse_large(self, stream: AsyncIterator[bytes], patient: bool) -> NoReturn:
        """Answer 413. Clients that are not `patient` read only after sending, so read on a while.

        Raises:
            Refused: always.
        """
        left = 0 if patient else self._limits.max_bytes
        if left:
            with suppress(Refused):  # it does not go on either
                async for part in stream:
                    left -= len(part)
                    if left < 0:
                        break
        raise Refused(413, f"the file has more than {self._limits.max_bytes:,} bytes")


def _declared(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    return int(text) if text.isdecimal() else 0
