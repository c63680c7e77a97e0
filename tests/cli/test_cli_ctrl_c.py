"""Test Ctrl-C and readers that close the stream: no partial outputs remain."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from batch_photos import codec, model, photos
from command_line import call, environment, save_photo, tree
from noting_codec import NotingCodec

from conftest import HANG, wait_until
from slimcae.cli.batch import Gate, workers_left
from slimcae.codec import Codec, Compressed, Target
from slimcae.images import Picture

STUCK = """\
import signal, threading
from pathlib import Path
from slimcae import codec
from slimcae.cli import entry_point

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started us may ignore it
load, first = codec.load, threading.Lock()

def load_stuck(*args, **settings):
    loaded = load(*args, **settings)
    encode = loaded.encode

    def stuck(*args, **choice):
        if not first.acquire(blocking=False):
            Path("stuck").touch()
            threading.Event().wait()
        return encode(*args, **choice)

    loaded.encode = stuck
    return loaded

codec.load = load_stuck
entry_point()
"""

SEARCHING = """\
import signal
from pathlib import Path
from slimcae.cli import entry_point
from slimcae.transforms.onnx_.gradients import OnnxGradients

signal.signal(signal.SIGINT, signal.default_int_handler)
gradient = OnnxGradients.squared_error

def noted(*args):
    Path("searching").touch()
    return gradient(*args)

OnnxGradients.squared_error = noted
entry_point()
"""


@contextmanager
def running(argv: list[str | Path], script: str = STUCK) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process; `STUCK` compresses one picture and blocks on another (file `stuck`)."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, argv)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_stops_soon_and_leaves_nothing_half_done(
    photos: Path, model: Path, codec: Codec, jobs: str
) -> None:
    argv: list[str | Path] = ["compress", "-r", photos, "-o", "new/", "-m", model, "-j", jobs]
    with running(argv) as stopped:
        wait_until(
            lambda: (
                stopped.poll() is not None
                or (Path("stuck").exists() and list(Path("new").rglob("*.scae")))
            )
        )
        stopped.send_signal(signal.SIGINT)
        _, err = stopped.communicate(timeout=HANG)  # it does not wait for the others
    assert stopped.returncode == 130, err
    assert err.splitlines()[-1] == b"slimcae: error: interrupted"
    assert b"Traceback" not in err
    ((name, data),) = tree(Path("new")).items()  # with two threads, either picture came first
    assert data == codec.compress(next(photos.glob(f"**/{Path(name).stem}.*")))


def test_ctrl_c_in_a_search_leaves_no_file(photos: Path) -> None:
    save_photo(Path("large.png"), size=(400, 300))
    with running(["compress", "large.png", "--effort", "9"], SEARCHING) as stopped:
        wait_until(lambda: stopped.poll() is not None or Path("searching").exists())
        stopped.send_signal(signal.SIGINT)
        _, err = stopped.communicate(timeout=HANG)
    assert stopped.returncode == 130, err
    assert err.splitlines()[-1] == b"slimcae: error: interrupted"
    assert not list(Path().glob("large*.scae*")) and not list(Path().glob(".*scae*"))


def test_a_reader_of_objects_who_leaves_early_is_no_error(photos: Path, model: Path) -> None:
    Path("photos/sub/notes.txt").unlink()  # one line would be printed about it
    argv: list[str | Path] = ["compress", "-r", photos, "-o", "new/", "-m", model, "-j", "2"]
    with running([*argv, "--json"]) as left:
        assert left.stdout is not None and left.stderr is not None
        left.stdout.close()
        assert left.stderr.read() == b""
        assert left.wait(HANG) == 128 + 13
    assert all(name.endswith(".scae") for name in tree(Path("new")))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """The program that started the tests may ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_what_is_being_written_when_stopped_is_written_whole(
    photos: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C arrives while one thread writes: its file is complete, and no other is started."""
    fake = NotingCodec(codec).take_over(monkeypatch)
    for seed in range(6):
        save_photo(photos / f"{seed}.png", seed=seed)
    fsync, shut, encode = os.fsync, Gate.shut, fake.encode
    first, stopping, stopped = threading.Lock(), threading.Event(), threading.Event()

    def late_encode(image: Picture, target: Target, **handling: Any) -> Compressed:
        if not first.acquire(blocking=False):
            assert stopped.wait(HANG)
        return encode(image, target, **handling)

    def late_fsync(number: int) -> None:
        if not stopping.is_set():
            os.kill(os.getpid(), signal.SIGINT)  # like a terminal, which signals the process
            assert stopping.wait(HANG)
        fsync(number)

    def noted_shut(gate: Gate) -> None:
        stopping.set()
        shut(gate)
        stopped.set()

    monkeypatch.setattr(fake, "encode", late_encode)
    monkeypatch.setattr(os, "fsync", late_fsync)
    monkeypatch.setattr(Gate, "shut", noted_shut)
    assert call(["compress", "-r", photos, "-o", "new/", "-j", "2"]) == 130
    ((name, data),) = tree(Path("new")).items()
    assert data == codec.compress(next(photos.glob(f"**/{Path(name).stem}.*")), 8)
    wait_until(lambda: not workers_left())
    assert tree(Path("new")).keys() == {name}
