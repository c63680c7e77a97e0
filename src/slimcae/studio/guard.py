"""Access control of the server: its own page and programs, but no other web pages."""

import asyncio
import ipaddress
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware that rejects foreign `Host` and `Origin`, and hardens every response.

    A page of another site can reach a local server in two ways. It can send requests (the browser
    then adds the `Origin` of the page, or `Sec-Fetch-Site: cross-site`), or its own name can
    resolve to this machine (DNS rebinding; `Host` is then that name). Both are rejected first.
    Programs send neither header and are served.

    host: address that the server is bound to. Loopback names are always accepted. If bound to
    another address, that one is, too; if bound to all (`0.0.0.0`, `::`), every numeric address and
    this machine's name, which foreign sites cannot take over.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = {"localhost", host.lower()}
        address = _address(host)
        self._any_address = address is not None and address.is_unspecified
        if self._any_address:
            self._names.add(socket.gethostname().lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        # photos must not be cached; scripts may be, with revalidation
        keep = b"no-cache" if scope["path"].startswith("/static/") else b"no-store"

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                fresh = _HEADERS | {b"cache-control": keep}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in fresh.items() if name not in present),
                ]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await _answer(self._app, scope, receive, hardened)
            return
        status, words = refusal
        body = json.dumps({"error": words}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await hardened({"type": "http.response.start", "status": status, "headers": headers})
        await hardened({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return 421, f"this server does not answer to the name {', '.join(hosts) or '(none)'}"
        for name, value in headers:
            if name == b"origin" and not _same_origin(value, hosts[0]):
                return 403, f"requests from pages of {value} are refused"
        fetch = {name: value for name, value in headers if name.startswith(b"sec-fetch-")}
        site = fetch.get(b"sec-fetch-site", "none")
        if site not in ("none", "same-origin") and not _opens_the_page(scope, fetch):
            return 403, "requests from pages of other sites are refused"
        return None

    def _is_ours(self, host: str) -> bool:
        name = _hostname(host)
        if name is None:
            return False
        address = _address(name)
        if address is None:
            return name in self._names
        return address.is_loopback or self._any_address or name in self._names


async def _answer(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request; HEAD is served as GET without the body (RFC 9110, 9.3.2)."""
    if scope["method"] != "HEAD":
        await app(scope, receive, send)
        return
    ended = asyncio.Event()

    async def headers_alone(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            ended.set()

    async def until_ended() -> Message:
        """Return the client's messages; the client does not wait for an unfinished body."""
        coming = asyncio.ensure_future(receive())
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(ended.wait()), coming]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else {"type": "http.disconnect"}
        finally:
            for task in tasks:
                task.cancel()

    await app({**scope, "method": "GET"}, until_ended, headers_alone)


def _opens_the_page(scope: Scope, fetch: dict[bytes, str]) -> bool:
    """Return whether a request follows a link to the page, which reveals nothing."""
    return (
        scope["path"] == "/"
        and scope["method"] in ("GET", "HEAD")
        and fetch.get(b"sec-fetch-mode") == "navigate"
        and fetch.get(b"sec-fetch-dest") == "document"
    )


def _same_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _hostname(host: str) -> str | None:
    """Return the name in a `Host` header, without port and brackets."""
    if not host or any(character in host for character in "/@?#\\ \t"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises if it is not a number
    except ValueError:
        return None
    return parts.hostname


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
