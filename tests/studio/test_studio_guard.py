"""Test that no other web page reaches the server, under any host name."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from studio_app import client, tiny_path

from slimcae.studio import create_app

OURS = ["127.0.0.1:8750", "localhost:8750", "[::1]:8750", "LOCALHOST", "127.0.0.1"]
FOREIGN = [
    "evil.example:8750",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.example#@127.0.0.1",
    "user@127.0.0.1",
    "192.168.1.7:8750",
    "127.0.0.1:port",
    "",
]


@pytest.mark.parametrize("host", OURS)
def test_our_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/models", headers={"host": host}).status_code == 200
    origin = {"host": host, "origin": f"http://{host}"}
    assert client.get("/models", headers=origin).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", ["/", "/models", "/static/main.js"])
def test_foreign_hosts_are_refused(client: TestClient, host: str, path: str) -> None:
    response = client.get(path, headers={"host": host})
    assert response.status_code == 421
    assert response.json()["error"]


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1:9999",
        "http://localhost:8750",
        "file://127.0.0.1:8750",
        "http://127.0.0.1:8750.evil.example",
    ],
)
def test_foreign_origins_are_refused(client: TestClient, origin: str) -> None:
    for method, path in (("POST", "/compress"), ("GET", "/models"), ("DELETE", "/photos/a")):
        response = client.request(method, path, headers={"origin": origin})
        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers


def fetch(site: str, mode: str, dest: str) -> dict[str, str]:
    return {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}


def test_what_browsers_say_about_the_asking_page(client: TestClient) -> None:
    for site in ("cross-site", "same-site"):
        for path in ("/models", "/photos/a/original.png", "/static/icon.svg", "/"):
            image = client.get(path, headers=fetch(site, "no-cors", "image"))
            assert image.status_code == 403
        assert client.get("/", headers=fetch(site, "navigate", "document")).status_code == 200
        assert client.get("/", headers=fetch(site, "navigate", "iframe")).status_code == 403
        assert client.get("/models", headers=fetch(site, "navigate", "document")).status_code == 403
        assert client.post("/", headers=fetch(site, "navigate", "document")).status_code == 403
    for site in ("none", "same-origin"):
        assert client.get("/models", headers=fetch(site, "cors", "empty")).status_code == 200


def test_every_response_is_hardened(client: TestClient) -> None:
    for path in ("/", "/static/main.js", "/models", "/nothing", "/openapi.json"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self' 'wasm-unsafe-eval';" in policy
        assert (
            "unsafe-inline" not in policy and "'unsafe-eval'" not in policy and "http" not in policy
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == (
            "no-cache" if path.startswith("/static/") else "no-store"
        )
    refused = client.get("/", headers={"host": "evil.example"})
    assert "content-security-policy" in refused.headers


def test_websockets_are_closed(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/"):
        pass


@pytest.mark.parametrize(
    ("bound", "name", "status"),
    [
        ("0.0.0.0", "192.168.1.7:8750", 200),
        ("0.0.0.0", "evil.example", 421),
        ("::", "[fe80::1]:8750", 200),
        ("192.168.1.7", "192.168.1.7:8750", 200),
        ("192.168.1.7", "192.168.1.8:8750", 421),
        ("studio.local", "studio.local:8750", 200),
        ("studio.local", "evil.example:8750", 421),
    ],
)
def test_names_depend_on_where_it_listens(
    tiny_path: Path, bound: str, name: str, status: int
) -> None:
    outside = TestClient(create_app([tiny_path], host=bound), base_url="http://localhost")
    assert outside.get("/", headers={"host": name}).status_code == status
