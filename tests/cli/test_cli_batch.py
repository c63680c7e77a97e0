"""Test compress and decompress with many files: the messages about each file."""

import io
import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from batch_photos import codec, model, photos
from command_line import call, save_photo, tree
from PIL import Image

from slimcae.cli.streams import write_stream
from slimcae.codec import Codec, Compressed

KEYS = {
    *("input", "output", "ok", "skipped", "error", "bytes", "bpp"),
    *("width", "step", "image_width", "image_height", "seconds"),
}


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(found_one.keys() == KEYS for found_one in found)
    return sorted(found, key=lambda one: str(one["input"]))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_broken_files_do_not_stop_the_rest(
    photos: Path, model: Path, jobs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "sub" / "a.png").write_bytes((photos / "a.png").read_bytes()[:100])
    (photos / "sub" / "z.png").write_text("no picture")
    argv: list[str | Path] = ["compress", "-r", photos, "no.png", "-o", "new/", "-m", model]
    assert call([*argv, "-j", jobs]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-1] == "3 ok, 3 failed"
    errors = sorted(line for line in err if line.startswith("slimcae: error: "))
    assert [line.split()[2:6] for line in errors] == [
        ["no", "picture", "at", "no.png:"],
        ["photos/sub/a.png", "cannot", "be", "read"],
        ["photos/sub/z.png", "cannot", "be", "read"],
    ]
    assert tree(Path("new")).keys() == {"a.scae", "sub/b.scae", "sub/deep/c.scae"}
    (Path("new") / "a.scae").write_bytes(b"\x89S\r\n")
    capsys.readouterr()
    assert call(["decompress", "-r", "new", "-o", "back/", "-m", model, "-j", jobs]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-1] == "2 ok, 1 failed"
    assert len([line for line in err if line.startswith("slimcae: error: new/a.scae: ")]) == 1
    assert tree(Path("back")).keys() == {"sub/b.png", "sub/deep/c.png"}


def test_two_pictures_are_computed_while_others_are_written(
    photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at a time with -j 2; a file that waits for its disk keeps no core from the next one."""
    all_three = threading.Barrier(3, timeout=60)
    computing = threading.Semaphore(2)
    encode = Codec.encode

    def counted(*args: Any, **options: Any) -> Compressed:
        assert computing.acquire(blocking=False), "a third picture is computed"
        try:
            return encode(*args, **options)
        finally:
            computing.release()

    def write(path: Path, data: bytes) -> None:
        all_three.wait()
        path.write_bytes(data)

    monkeypatch.setattr(Codec, "encode", counted)
    monkeypatch.setattr("slimcae.cli.compress.write_bytes", write)
    assert call(["compress", "-r", photos, "-o", "new/", "-m", model, "-j", "2"]) == 0
    assert tree(Path("new")).keys() == {"a.scae", "sub/b.scae", "sub/deep/c.scae"}


def test_folders_that_cannot_be_done(
    photos: Path,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("empty").mkdir()
    assert call(["compress", "-r", "empty"]) == 1
    errors, tally = capsys.readouterr().err.splitlines()
    assert errors.startswith("slimcae: error: no pictures in empty")
    assert tally == "0 ok, 1 failed"
    assert call(["decompress", "-r", photos]) == 1
    assert "no files in photos or its subfolders: searched for scae" in capsys.readouterr().err
    assert call(["compress", photos, "photos/a.png", "-m", model]) == 1
    err = capsys.readouterr().err
    assert "photos is a folder: name one file, or add -r" in err
    assert err.endswith("1 ok, 1 failed\n")

    scandir = os.scandir

    def guarded(path: Any) -> Any:  # as chmod does, which does not stop root
        if Path(path) == photos / "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert call(["compress", "-r", photos, "-y", "-m", model]) == 1
    err = capsys.readouterr().err
    assert "slimcae: error: folder photos/sub cannot be read: Permission denied\n" in err
    assert err.endswith("1 ok, 1 failed\n")


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_linked_folders_and_all_suffixes_are_mirrored(photos: Path, model: Path) -> None:
    """Make files with all suffixes of a format, and a link to a folder that links back."""
    Path("elsewhere").mkdir()
    save_photo(Path("elsewhere/linked.png"))
    Path("elsewhere/back").symlink_to(photos.resolve())
    (photos / "link").symlink_to(Path("elsewhere").resolve())
    for name, kind in {
        "w.jfif": "JPEG",
        "x.dib": "DIB",
        "y.pnm": "PPM",
        "z.j2k": "JPEG2000",
    }.items():
        Image.new("RGB", (20, 16), "red").save(photos / name, kind)
    (photos / "._a.png").write_bytes(b"of macOS")
    assert call(["compress", "-r", photos, "-o", "new/", "-m", model]) == 0
    names = ("a", "w", "x", "y", "z", "sub/b", "sub/deep/c", "link/linked")
    assert tree(Path("new")).keys() == {f"{name}.scae" for name in names}


def test_objects_say_what_the_files_say(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "sub" / "z.png").write_text("no picture")
    argv: list[str | Path] = ["--json", "-r", "-j", "2", "-m", model]
    start = time.perf_counter()
    assert call(["compress", photos, "-o", "new/", "-w", "8", *argv]) == 1
    elapsed = time.perf_counter() - start
    done = objects(capsys)
    assert [one["ok"] for one in done] == [True, True, True, False]
    for seed, one in enumerate(done[:3]):
        size = Path(one["output"]).stat().st_size
        assert 0 < one.pop("seconds") < elapsed
        assert one == {
            "input": ["photos/a.png", "photos/sub/b.JPG", "photos/sub/deep/c.webp"][seed],
            "output": ["new/a.scae", "new/sub/b.scae", "new/sub/deep/c.scae"][seed],
            "ok": True,
            "skipped": False,
            "error": None,
            "bytes": size,
            "bpp": 8 * size / ((40 + seed) * 56),
            "width": 8,
            "step": 0,
            "image_width": 56,
            "image_height": 40 + seed,
        }
    assert "photos/sub/z.png cannot be read" in done[3]["error"]
    assert done[3]["bytes"] is done[3]["seconds"] is None
    assert call(["decompress", "new", *argv]) == 0
    back = objects(capsys)
    for there, one in zip(done, back, strict=False):
        assert one.pop("seconds") > 0
        names = {"input": there["output"], "output": there["output"].replace(".scae", ".png")}
        assert one == there | names
    assert call(["decompress", "new", "--skip-existing", *argv]) == 0
    assert [(one["ok"], one["skipped"]) for one in objects(capsys)] == [(True, True)] * 3


def test_an_object_for_a_single_failure(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["compress", "no.png", "--json"]) == 1
    out, err = capsys.readouterr()
    (one,) = map(json.loads, out.splitlines())
    assert (one["input"], one["ok"]) == ("no.png", False)
    assert err == f"slimcae: error: {one['error']}\n"


def test_quiet_says_only_errors(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "z.png").write_text("no picture")
    assert call(["compress", "-r", photos, "-m", model, "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("slimcae: error: photos/z.png cannot be read")


@pytest.mark.parametrize(
    ("words", "terminal", "shown"),
    [([], True, True), ([], False, False), (["--quiet"], True, False), (["--json"], True, True)],
)
def test_a_bar_for_several_files_on_a_terminal(
    photos: Path,
    model: Path,
    words: list[str],
    terminal: bool,
    shown: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert call(["compress", "-r", photos, "-m", model, *words]) == 0
    err = capsys.readouterr().err
    assert bool(re.search(r"\| 3/3 \[\d\d:\d\d<", err)) == shown
    assert call(["compress", "photos/a.png", "-y", "-m", model, *words]) == 0
    assert "1/1" not in capsys.readouterr().err


def test_standard_input_into_a_file(
    photos: Path, model: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (photos / "a.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert call(["compress", "-", "-o", "x.scae", "-m", model]) == 0
    assert Path("x.scae").read_bytes() == codec.compress(photos / "a.png")


def test_an_unbuffered_output_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream as with PYTHONUNBUFFERED=1, where one write may write only a part."""
    written = bytearray()

    class Unbuffered(io.RawIOBase):
        def write(self, data: object) -> int:
            part = bytes(data)[:7]  # type: ignore[call-overload]
            written.extend(part)
            return len(part)

    class Output:
        buffer = Unbuffered()

    monkeypatch.setattr(sys, "stdout", Output())
    write_stream(bytes(range(100)))
    assert bytes(written) == bytes(range(100))
