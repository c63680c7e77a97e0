"""Fixtures of the studio's tests: a server in this process, a tiny model beside the shipped one."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient
from tiny_codec import LMBDA, make_model

from conftest import HANG, smooth_pixels, wait_until
from slimcae.codec import Codec
from slimcae.model.config import ModelInfo
from slimcae.model.file import read_model, write_model
from slimcae.studio import Limits, create_app
from slimcae.studio.connections import server

LIMITS = Limits(max_bytes=200_000, max_pixels=100_000, held_photos=4)


def png(height: int = 48, width: int = 64, seed: int = 0) -> bytes:
    file = BytesIO()
    Image.fromarray(smooth_pixels(height, width, seed)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("studio") / "tiny.safetensors"
    write_model(path, make_model(1, ModelInfo("tiny", "1", LMBDA)))
    return path


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> Codec:
    return Codec(read_model(tiny_path))


@pytest.fixture(scope="session")
def client(tiny_path: Path) -> Iterator[TestClient]:
    app = create_app([tiny_path], limits=LIMITS)
    with TestClient(app, base_url="http://127.0.0.1:8750") as inside:
        yield inside


@contextmanager
def serving(model: Path, limits: Limits) -> Iterator[int]:
    """The port of a server that really listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serves = server(create_app([model], limits=limits), limits)
        thread = threading.Thread(target=serves.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: serves.started)
            yield listener.getsockname()[1]
        finally:
            serves.should_exit = serves.force_exit = True
            thread.join(HANG)
