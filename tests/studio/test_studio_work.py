"""Test work off the event loop: bounded, watched, stopped with its client, never mixed up."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient
from studio_app import LIMITS, client, png, tiny, tiny_path

from conftest import HANG, wait_until
from slimcae.codec import Codec
from slimcae.studio import create_app, work
from slimcae.studio.failures import ClientGoneError, Refused
from slimcae.studio.work import Workshop


def staying() -> Callable[[], Awaitable[Any]]:
    """The `receive` of a client that waits."""

    async def receive() -> Any:
        await asyncio.Event().wait()

    return receive


def leaving(after: threading.Event) -> Callable[[], Awaitable[Any]]:
    """The `receive` of a client that disconnects as soon as `after` is set."""

    async def receive() -> Any:
        while not after.is_set():
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    return receive


def test_work_stops_at_the_next_step_when_its_client_goes() -> None:
    started, gone, ended = threading.Event(), threading.Event(), threading.Event()
    steps = []

    def endless() -> None:
        try:
            while True:
                work.tick()
                steps.append(1)
                started.set()
                gone.wait(HANG)
        finally:
            ended.set()

    async def main() -> None:
        shop = Workshop(1, 4)
        with pytest.raises(ClientGoneError):
            await shop.run(leaving(started), endless, name="mine")
        gone.set()
        assert await asyncio.to_thread(ended.wait, HANG)
        assert shop.progress("mine") is None
        assert await shop.run(staying(), lambda: 7) == 7  # the thread is free again
        shop.close()

    asyncio.run(main())
    assert steps == [1]


def test_progress_is_told_while_it_runs() -> None:
    may_end, seen = threading.Event(), threading.Event()

    def counted() -> str:
        work.stage("counting", 3)
        work.tick()
        work.tick()
        seen.set()
        may_end.wait(HANG)
        return "done"

    async def main() -> None:
        shop = Workshop(1, 1)
        task = asyncio.ensure_future(shop.run(staying(), counted, name="count"))
        await asyncio.to_thread(seen.wait, HANG)
        job = shop.progress("count")
        assert job is not None
        assert (job.stage, job.done, job.of) == ("counting", 2, 3)
        may_end.set()
        assert await task == "done"
        assert shop.progress("count") is None
        shop.close()

    asyncio.run(main())


def test_the_queue_is_bounded_and_errors_come_through() -> None:
    gate = threading.Event()

    def wait() -> None:
        gate.wait(HANG)

    def fail() -> None:
        raise KeyError("mine")

    async def main() -> None:
        shop = Workshop(1, 2)
        tasks = [asyncio.ensure_future(shop.run(staying(), wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="too many") as refused:
            await shop.run(staying(), wait)
        assert refused.value.status == 503
        gate.set()
        await asyncio.gather(*tasks)
        await asyncio.to_thread(wait_until, lambda: not shop._pending)
        with pytest.raises(KeyError, match="mine"):
            await shop.run(staying(), fail)
        shop.close()

    asyncio.run(main())


def test_what_waits_is_dropped_without_being_run() -> None:
    begun, gate, gone = threading.Event(), threading.Event(), threading.Event()
    ran = []

    def wait() -> None:
        begun.set()
        gate.wait(HANG)

    async def main() -> None:
        shop = Workshop(1, 2)
        first = asyncio.ensure_future(shop.run(staying(), wait))
        await asyncio.to_thread(begun.wait, HANG)
        gone.set()
        with pytest.raises(ClientGoneError):
            await shop.run(leaving(gone), lambda: ran.append(1))
        gate.set()
        await first
        shop.close()

    asyncio.run(main())
    assert not ran


def test_background_work_lets_the_rest_go_first() -> None:
    """Also what comes after it."""
    gate = threading.Event()
    order: list[str] = []

    def named(name: str) -> Callable[[], None]:
        def run() -> None:
            gate.wait(HANG)
            order.append(name)

        return run

    async def main() -> None:
        shop = Workshop(1, 9)
        tasks = []
        for name in ("front", "back", "front", "front"):
            job = shop.run(staying(), named(name), background=name == "back")
            tasks.append(asyncio.ensure_future(job))
            await asyncio.sleep(0)  # it is in the queue now
        gate.set()
        await asyncio.gather(*tasks)
        shop.close()

    asyncio.run(main())
    assert order == ["front", "front", "front", "back"]


def test_a_busy_server_says_so_with_a_hint(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate, compress = threading.Event(), threading.Event(), Codec.compress

    def gated(self: Codec, *args: Any, **choice: Any) -> bytes:
        begun.set()
        gate.wait(HANG)
        return compress(self, *args, **choice)

    limits = replace(LIMITS, workers=1, waiting=0)
    with TestClient(create_app([tiny_path], limits=limits), base_url="http://localhost") as inside:
        # the server warms up first, and is busy meanwhile
        wait_until(lambda: inside.post("/compress", content=png()).status_code == 200)
        monkeypatch.setattr(Codec, "compress", gated)
        with ThreadPoolExecutor(1) as pool:
            try:
                first = pool.submit(inside.post, "/compress", content=png())
                assert begun.wait(HANG)
                busy = inside.post("/compress", content=png())
            finally:
                gate.set()
            assert first.result().status_code == 200
        wait_until(lambda: inside.post("/compress", content=png()).status_code == 200)
    assert busy.status_code == 503
    assert busy.headers["retry-after"] == "2"
    assert "try again" in busy.json()["error"]


def test_concurrent_requests_are_not_mixed_up(client: TestClient, tiny: Codec) -> None:
    pictures = [png(40 + 8 * k, 64, k) for k in range(4)]
    ids = [client.post("/photos", content=body).json()["id"] for body in pictures]
    jobs = [(k, width, step) for k in range(4) for width in (12, 8, 4) for step in (0, 9)]
    expected = {
        job: tiny.compress(Image.open(BytesIO(pictures[job[0]])), job[1], step=job[2])
        for job in jobs
    }

    def ask(job: tuple[int, int, int]) -> tuple[bytes, bytes]:
        k, width, step = job
        point = {"width": width, "step": step}
        held = client.get(f"/photos/{ids[k]}/version.scae", params=point)
        straight = client.post("/compress", params=point, content=pictures[k])
        return held.content, straight.content

    with ThreadPoolExecutor(8) as pool:
        for job, got in zip(jobs * 2, pool.map(ask, jobs * 2), strict=True):
            assert got == (expected[job],) * 2


def test_uploads_share_a_bound_and_give_it_back(tiny_path: Path) -> None:
    body = png(60, 60)
    limits = replace(LIMITS, body_bytes=len(body) + 10)
    with TestClient(create_app([tiny_path], limits=limits), base_url="http://localhost") as inside:
        for _ in range(5):
            assert inside.post("/compress", content=body).status_code == 200
            assert inside.post("/compress", content=bytes(len(body) + 50)).status_code == 503
            assert inside.post("/compress", content=b"text").status_code == 415


def test_a_crash_is_an_answer_without_secrets(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Codec, "compress", broken)
    app = create_app([tiny_path])
    outside = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
    response = outside.post("/compress", content=png())
    assert response.status_code == 500
    assert response.json().keys() == {"error"}
    assert "secret" not in response.text
    assert "ZeroDivisionError: secret" in caplog.text  # the owner's terminal has it
    assert "content-security-policy" in response.headers
