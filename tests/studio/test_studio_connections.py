"""Test a real server with clients that stall: they are disconnected, and do not block others."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from studio_app import LIMITS, png, serving, tiny_path

from conftest import HANG, wait_until
from slimcae.studio import Limits, create_app
from slimcae.studio.connections import server

PATIENT = replace(LIMITS, stall_seconds=HANG)
HASTY = replace(LIMITS, stall_seconds=0.3, stall_bytes=1000)


@pytest.fixture(scope="module")
def hasty(tiny_path: Path) -> Iterator[int]:
    with serving(tiny_path, HASTY) as port:
        yield port


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), HANG)


def until_closed(client: socket.socket) -> bytes:
    """Return everything that the server sends before it closes."""
    parts = []
    with suppress(ConnectionResetError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def answer(data: bytes) -> tuple[int, dict[str, str]]:
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    return int(status.split()[1]), json.loads(body)


def works(port: int) -> None:
    """Another client is served."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG)
    try:
        client.request("POST", "/compress?width=8", body=png())
        response = client.getresponse()
        assert response.status == 200, response.read()
    finally:
        client.close()


def request(port: int, body_bytes: int) -> bytes:
    lines = ("POST /compress HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {body_bytes}")
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("sent", [b"G", b"GET /models HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
def test_the_head_of_a_request_that_stalls(hasty: int, sent: bytes) -> None:
    with connected(hasty) as client:
        client.sendall(sent)
        status, body = answer(until_closed(client))
    assert status == 408
    assert "does not go on" in body["error"]
    works(hasty)


def test_the_head_of_a_second_request_that_stalls(hasty: int) -> None:
    with connected(hasty) as client:
        client.sendall(f"GET /models HTTP/1.1\r\nHost: 127.0.0.1:{hasty}\r\n\r\nGET /mo".encode())
        assert until_closed(client).startswith(b"HTTP/1.1 200 ")


def test_a_connection_that_says_nothing_is_closed(hasty: int) -> None:
    with connected(hasty) as client:
        assert until_closed(client) == b""


@pytest.mark.parametrize("part", [0, 1, 5000])
def test_a_body_that_stalls(hasty: int, part: int) -> None:
    with connected(hasty) as client:
        client.sendall(request(hasty, 100_000) + bytes(part))
        status, body = answer(until_closed(client))
    assert status == 408
    assert "does not go on" in body["error"]
    works(hasty)


def test_a_body_that_drips(tiny_path: Path) -> None:
    """A byte now and then does not keep a connection open."""
    with serving(tiny_path, replace(HASTY, stall_bytes=10**6)) as port, connected(port) as client:
        client.sendall(request(port, 100_000))
        client.settimeout(0.02)
        received = b""
        while True:
            with suppress(BrokenPipeError, ConnectionResetError):
                client.send(b"x")
            try:
                part = client.recv(65536)
            except TimeoutError:
                continue
            except ConnectionResetError:
                break
            if not part:
                break
            received += part
    assert answer(received)[0] == 408


def test_a_body_that_is_too_large_and_stalls(hasty: int) -> None:
    with connected(hasty) as client:
        client.sendall(request(hasty, 10_000_000) + bytes(1000))
        assert b" 413 " in until_closed(client).partition(b"\r\n")[0]


def test_uploads_that_stall_do_not_hold_the_room_of_others(tiny_path: Path) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(serving(tiny_path, replace(HASTY, body_bytes=300_000)))
        held = [stack.enter_context(connected(port)) for _ in range(2)]
        for client in held:
            client.sendall(request(port, 190_000) + bytes(149_000))
        for client in held:
            assert answer(until_closed(client))[0] == 408
        works(port)


def test_a_response_that_nobody_takes_is_given_up(tiny_path: Path) -> None:
    with serving(tiny_path, HASTY) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(HANG)
        client.connect(("127.0.0.1", port))
        ask = f"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        with suppress(ConnectionError):
            while True:  # more than all buffers hold; the server resets the connection
                client.sendall(ask * 100)


def test_silent_connections_do_not_lock_others_out(tiny_path: Path) -> None:
    """Independent of the timeout, the connections that wait longest are closed."""
    with ExitStack() as stack:
        port = stack.enter_context(serving(tiny_path, replace(PATIENT, connections=20)))
        idle = [stack.enter_context(connected(port)) for _ in range(60)]
        works(port)
        assert until_closed(idle[0]) == b""


def test_too_many_requests_at_a_time_are_told_in_json(tiny_path: Path) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(serving(tiny_path, replace(PATIENT, connections=3)))
        busy = [stack.enter_context(connected(port)) for _ in range(3)]
        for client in busy:
            client.sendall(request(port, 1000)[:-2] + b"Expect: 100-continue\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 100 ")  # the server waits for the body
        client = stack.enter_context(connected(port))
        status, body = answer(until_closed(client))
    assert (status, body) == (503, {"error": "too many connections: try again in a moment"})


@pytest.mark.parametrize(
    "sent", [b"no http\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"\0"]
)
def test_what_is_no_http_is_told_in_json(hasty: int, sent: bytes) -> None:
    with connected(hasty) as client:
        client.sendall(sent)
        status, body = answer(until_closed(client))
    assert status in (400, 408)
    assert list(body) == ["error"]


@pytest.mark.parametrize("path", ["/", "/models", "/openapi.json", "/static/main.js", "/missing"])
def test_head_says_what_get_says(hasty: int, path: str) -> None:
    found = []
    for method in ("GET", "HEAD"):
        client = http.client.HTTPConnection("127.0.0.1", hasty, timeout=HANG)
        client.request(method, path)
        response = client.getresponse()
        headers = {name: value for name, value in response.getheaders() if name != "date"}
        found.append((response.status, headers, response.read()))
        client.close()
    (status, headers, body), (head_status, head_headers, nothing) = found
    assert (head_status, head_headers, nothing) == (status, headers, b"")
    assert status == (404 if path == "/missing" else 200)
    assert body
