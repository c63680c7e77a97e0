"""compress and decompress for many files: names, what becomes of each, threads, Ctrl-C."""

import gc
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import call, environment, save_photo, save_tiny_model, tree
from noting_codec import NotingCodec
from PIL import Image

import slimcae
from conftest import HANG, wait_until
from slimcae import images
from slimcae.cli import compress
from slimcae.cli.batch import Gate, workers_left
from slimcae.cli.jobs import Job, Plan
from slimcae.cli.streams import write_stream
from slimcae.codec import Codec, Compressed, Target
from slimcae.images import Picture

KEYS = {
    *("input", "output", "ok", "skipped", "error", "bytes", "bpp"),
    *("width", "step", "image_width", "image_height", "seconds"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def codec(model: Path) -> Codec:
    return slimcae.load(model)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `photos` in the current one: three pictures at three depths, and a text."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.png", "sub/b.JPG", "sub/deep/c.webp")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_photo(path, (40 + seed, 56), seed)
    Path("photos/sub/notes.txt").write_text("no picture")
    return Path("photos")


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(found_one.keys() == KEYS for found_one in found)
    return sorted(found, key=lambda one: str(one["input"]))


# where outputs go


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_a_folder_is_mirrored_and_comes_back(
    photos: Path, model: Path, codec: Codec, jobs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(photos)
    assert call(["compress", "-r", photos, "-o", "small/", "-m", model, "-j", jobs]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 5
    assert err.splitlines()[0] == "slimcae: warning: photos: left out 1 .txt"
    assert err.splitlines()[-1] == "3 ok, 0 failed"
    assert "photos/sub/b.JPG -> small/sub/b.scae  56x41  width 12  " in err
    assert tree(photos) == before
    pairs = {"a": "a.png", "sub/b": "sub/b.JPG", "sub/deep/c": "sub/deep/c.webp"}
    assert tree(Path("small")) == {
        f"{small}.scae": codec.compress(photos / name) for small, name in pairs.items()
    }
    back: list[str | Path] = ["decompress", "--recursive", "small", "-o", "back", "-m", model]
    Path("back").mkdir()  # a folder needs no slash once it is there
    assert call([*back, "--format", "webp", "--jobs", jobs]) == 0
    assert tree(Path("back")).keys() == {f"{name}.webp" for name in pairs}
    for name, data in tree(Path("small")).items():
        with Image.open(Path("back", name).with_suffix(".webp")) as image:
            assert image.format == "WEBP"
            np.testing.assert_array_equal(np.asarray(image), np.asarray(codec.decompress(data)))


def test_what_a_folder_leaves_out_is_said(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimcae.images.plugins.find_spec", lambda name: None)
    for name in ("x.heic", "y.HEIC", "sub/z.jxl", "photo", "a.scae", ".hidden", "Thumbs.db"):
        (photos / name).write_bytes(b"")
    argv: list[str | Path] = ["compress", "-r", photos, "-y", "-m", model]
    assert call(argv) == 0
    err = capsys.readouterr().err
    assert err.count("left out") == 1
    said, remedy = err.splitlines()[0].split(": left out ")[1].split(": ")
    assert set(said.split(", ")) == {"2 .heic", "1 .jxl", "1 .txt", "1 without suffix"}
    assert remedy == "to read them, pip install pillow-heif pillow-jxl-plugin"
    assert call([*argv, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert call(["compress", "-r", "photos/sub/deep", "-y", "-m", model]) == 0
    assert "left out" not in capsys.readouterr().err
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name not in ("HEIF", "JXL")])
    Path("photos/x.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(40))
    assert call(["compress", "photos/x.heic", "-o", "x.scae", "-m", model]) == 1
    assert capsys.readouterr().err == (
        "slimcae: error: photos/x.heic is a HEIC picture, for which pillow-heif is not installed: "
        "pip install pillow-heif\n"
    )


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_what_is_left_out_of_linked_folders_is_counted_once(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where links form a loop, and every folder is listed once, for pictures and others."""
    Path("elsewhere").mkdir()
    Path("elsewhere/x.psd").write_bytes(b"")
    Path("elsewhere/back").symlink_to(photos.resolve())
    (photos / "link").symlink_to(Path("elsewhere").resolve())
    (photos / "again").symlink_to(Path("elsewhere").resolve())
    listed: list[str] = []
    scandir = os.scandir

    def noted(path: Any) -> Any:
        listed.append(os.path.realpath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    assert call(["compress", "-r", photos, "-o", "new/", "-m", model]) == 0
    said = capsys.readouterr().err.splitlines()[0].removeprefix("slimcae: warning: ")
    assert said.startswith("photos: left out ")
    assert set(said.removeprefix("photos: left out ").split(", ")) == {"1 .psd", "1 .txt"}
    folders = {str(path.resolve()) for path in (photos, photos / "sub", photos / "sub/deep")}
    assert sorted(listed) == sorted({*folders, str(Path("elsewhere").resolve())})


def test_outputs_lie_beside_their_inputs(photos: Path, model: Path, codec: Codec) -> None:
    assert call(["compress", "-r", photos, "photos/sub/notes.txt", "-m", model, "-j", "2"]) == 1
    assert {name for name in tree(photos) if name.endswith(".scae")} == {
        "a.scae",
        "sub/b.scae",
        "sub/deep/c.scae",
    }
    assert (photos / "a.scae").read_bytes() == codec.compress(photos / "a.png")


def test_one_file_into_a_folder(photos: Path, model: Path) -> None:
    assert call(["compress", "photos/sub/b.JPG", "-o", "new/folder/", "-m", model]) == 0
    assert tree(Path("new")).keys() == {"folder/b.scae"}
    assert call(["compress", "photos/sub/b.JPG", "-o", "photos", "-m", model]) == 0
    assert (photos / "b.scae").is_file()


def test_two_inputs_for_one_output(
    photos: Path, model: Path, codec: Codec, capsys: pytest.CaptureFixture[str]
) -> None:
    save_photo(photos / "a.jpg", seed=7)
    assert call(["compress", "photos/a.png", "photos/a.jpg", "photos/a.png", "-m", model]) == 1
    err = capsys.readouterr().err
    assert "error: photos/a.jpg would go to photos/a.scae, as photos/a.png does" in err
    assert "error: photos/a.png would go to photos/a.scae, as photos/a.png does" in err
    assert err.endswith("1 ok, 2 failed\n")
    assert (photos / "a.scae").read_bytes() == codec.compress(photos / "a.png")
    Path("alias").symlink_to("photos")
    argv: list[str | Path] = ["compress", "-y", "photos/a.png", "alias/a.jpg", "-m", model]
    assert call(argv) == 1
    assert (photos / "a.scae").read_bytes() == codec.compress(photos / "a.png")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_broken_first_does_not_block_a_good_second(
    photos: Path, model: Path, codec: Codec, jobs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_photo(photos / "a.tif", seed=7)
    save_photo(photos / "a.webp", seed=8)
    (photos / "a.png").write_bytes(b"no picture")
    argv = ["photos/a.png", "photos/a.tif", "photos/a.webp", "photos/sub/b.JPG"]
    assert call(["compress", *argv, "-m", model, "-j", jobs]) == 1
    err = capsys.readouterr().err
    assert "error: photos/a.png cannot be read" in err
    assert "error: photos/a.webp would go to photos/a.scae, as photos/a.png does" in err
    assert err.endswith("2 ok, 2 failed\n")
    assert (photos / "a.scae").read_bytes() == codec.compress(photos / "a.tif")


def test_inputs_of_one_stem_keep_their_suffixes(
    photos: Path, model: Path, codec: Codec, capsys: pytest.CaptureFixture[str]
) -> None:
    save_photo(photos / "a.jpg", seed=7)
    assert call(["compress", "-r", photos, "-o", "small/", "--keep_suffix", "-m", model]) == 0
    assert tree(Path("small")).keys() == {
        *("a.png.scae", "a.jpg.scae", "sub/b.JPG.scae", "sub/deep/c.webp.scae")
    }
    assert call(["compress", "photos/a.jpg", "--keep-suffix", "-m", model]) == 0
    assert (photos / "a.jpg.scae").read_bytes() == codec.compress(photos / "a.jpg")
    assert call(["decompress", "-r", "small", "-o", "back/", "-m", model]) == 0
    assert "sub/deep/c.webp.png" in tree(Path("back"))


def test_outputs_get_the_time_of_their_inputs(photos: Path, model: Path) -> None:
    times = {"a.png": 10**18 + 5 * 10**8, "sub/b.JPG": 10**9}  # nanoseconds: 2001 and 1970
    for name, time_ns in times.items():
        os.utime(photos / name, ns=(0, time_ns))
    argv = [photos / name for name in times]
    assert call(["compress", *argv, "-o", "small/", "--keep_mtime", "-m", model]) == 0
    for name in ("small/a.scae", "small/b.scae"):
        assert Path(name).stat().st_mtime_ns in times.values()
    assert call(["decompress", "small/a.scae", "--keep-mtime", "-m", model]) == 0
    assert Path("small/a.png").stat().st_mtime_ns == times["a.png"]
    assert call(["compress", photos / "a.png", "-o", "now.scae", "-m", model]) == 0
    assert Path("now.scae").stat().st_mtime_ns > times["a.png"]


@pytest.mark.parametrize("kind", ["jpg", "jpeg", "webp", "avif"])
def test_output_quality(photos: Path, model: Path, codec: Codec, kind: str) -> None:
    Path("a.scae").write_bytes(codec.compress(photos / "a.png"))
    sizes = []
    argv: list[str | Path] = ["decompress", "a.scae", "-m", model, "-y", "--format", kind]
    for quality in ("10", "90"):
        assert call([*argv, "--output_quality", quality]) == 0
        sizes.append(Path(f"a.{kind}").stat().st_size)
        assert call([*argv, "-o", f"b.{kind}", "--output-quality", quality]) == 0
        assert Path(f"b.{kind}").read_bytes() == Path(f"a.{kind}").read_bytes()
    assert sizes[0] < sizes[1]
    with Image.open(f"a.{kind}") as image, io.BytesIO() as own:
        options: dict[str, dict[str, Any]] = {
            "jpg": {"subsampling": 0},
            "webp": {"exact": True},
        }
        codec.decompress("a.scae").save(
            own, image.format, quality=90, **options.get(kind.replace("jpeg", "jpg"), {})
        )
        assert Path(f"a.{kind}").read_bytes() == own.getvalue()
    assert call([*argv[:-2], "--output_quality", "101", "-o", "c.jpg"]) == 2


def test_the_folder_of_an_output_is_created(photos: Path, model: Path, codec: Codec) -> None:
    assert call(["compress", "photos/a.png", "-o", "new/deep/x.scae", "-m", model]) == 0
    assert Path("new/deep/x.scae").read_bytes() == codec.compress(photos / "a.png")
    assert call(["decompress", "new/deep/x.scae", "-o", "other/x.png", "-m", model]) == 0
    assert call(["compress", "photos/sub/notes.txt", "-o", "no/x.scae", "-m", model]) == 1
    assert not Path("no").exists()


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to], ids=["symbolic", "hard"])
def test_no_input_is_overwritten_through_a_link(
    photos: Path, model: Path, link: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("small").mkdir()
    link(Path("small/a.scae"), Path("photos/sub/b.JPG").resolve())
    link(Path("small/b.scae"), Path("photos/sub/b.JPG").resolve())
    before = tree(photos)
    argv: list[str | Path] = ["photos/a.png", "photos/sub/b.JPG", "-o", "small", "-y", "-m", model]
    assert call(["compress", *argv]) == 1
    err = capsys.readouterr().err
    assert "small/a.scae is another input" in err
    assert "small/b.scae is the input itself" in err
    assert call(["compress", "photos/a.png", "-o", "small/b.scae", "-m", model]) == 1
    assert tree(photos) == before
    assert tree(Path("small")) == dict.fromkeys(("a.scae", "b.scae"), before["sub/b.JPG"])


def test_existing_outputs_are_refused_skipped_or_replaced(
    photos: Path, model: Path, codec: Codec, capsys: pytest.CaptureFixture[str]
) -> None:
    there = photos / "sub" / "b.scae"
    there.write_bytes(b"old")
    argv: list[str | Path] = ["compress", "-r", photos, "-m", model]
    assert call(argv) == 1
    err = capsys.readouterr().err
    assert "slimcae: error: photos/sub/b.JPG: photos/sub/b.scae exists: add -y to replace it" in err
    assert err.endswith("2 ok, 1 failed\n")
    (photos / "a.scae").unlink()
    assert call([*argv, "--skip-existing"]) == 0
    assert last_line(capsys) == "1 ok, 0 failed, 2 skipped"
    assert there.read_bytes() == b"old"
    assert (photos / "a.scae").read_bytes() == codec.compress(photos / "a.png")
    assert call([*argv, "-y"]) == 0
    assert there.read_bytes() == codec.compress(photos / "sub" / "b.JPG")


def test_an_output_that_appears_meanwhile_is_not_replaced(
    photos: Path,
    codec: Codec,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = NotingCodec(codec).take_over(monkeypatch)
    encode = fake.encode

    def slow(image: Picture, *asked: Any, **handling: Any) -> Compressed:
        (photos / "a.scae").write_bytes(b"somebody else's")
        return encode(image, *asked, **handling)

    monkeypatch.setattr(fake, "encode", slow)
    assert call(["compress", "photos/a.png"]) == 1
    assert "photos/a.scae exists" in capsys.readouterr().err
    assert (photos / "a.scae").read_bytes() == b"somebody else's"


def test_nothing_is_loaded_when_all_is_done(
    photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(["compress", "-r", photos, "-m", model]) == 0

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr(slimcae.codec, "load", refuse)
    assert call(["compress", "-r", photos, "-o", "photos/", "--skip-existing"]) == 0


# what is said


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


def test_folders_that_cannot_be_done(
    photos: Path,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("empty").mkdir()
    assert call(["compress", "-r", "empty"]) == 1
    errors, tally = capsys.readouterr().err.splitlines()
    assert errors.startswith("slimcae: error: no pictures in empty: looked in it and its folders")
    assert tally == "0 ok, 1 failed"
    assert call(["decompress", "-r", photos]) == 1
    assert "no files in photos: looked in it and its folders for scae" in capsys.readouterr().err
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
    """Names that Pillow knows for a format, and a link to a folder elsewhere, which links back."""
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


# threads


def test_no_more_pictures_in_memory_than_jobs(
    photos: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(12):
        save_photo(photos / f"{seed}.png", seed=seed)
    fake = NotingCodec(codec).take_over(monkeypatch)
    alive, most, lock = [0], [0], threading.Lock()
    read, encode = images.read_picture, fake.encode

    def change(by: int) -> None:
        with lock:
            alive[0] += by
            most[0] = max(most[0], alive[0])

    def counted(source: Any, max_pixels: int) -> Picture:
        picture = read(source, max_pixels)
        change(1)
        weakref.finalize(picture, change, -1)
        return picture

    monkeypatch.setattr(images, "read_picture", counted)
    for jobs in (1, 3):
        all_busy = threading.Barrier(jobs)  # of 15 pictures

        def together(
            image: Picture, target: Target, all_busy: threading.Barrier = all_busy, **handling: Any
        ) -> Compressed:
            all_busy.wait(HANG)
            return encode(image, target, **handling)

        monkeypatch.setattr(fake, "encode", together)
        most[0] = 0
        assert call(["compress", "-r", photos, "-y", "-j", str(jobs)]) == 0
        gc.collect()
        assert (alive[0], most[0]) == (0, jobs)


def test_threads_share_one_codec_and_the_cores(
    photos: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = NotingCodec(codec)
    loads: list[object] = []
    threads = set()
    both_busy, first_two = threading.Barrier(2), iter(range(2))

    def load(*_: object, **settings: object) -> NotingCodec:
        loads.append(settings["threads"])
        assert settings["megapixels"] == pytest.approx(56 * (40 + 41 + 42) / 1e6)
        return fake

    encode = fake.encode

    def noted(image: Picture, *asked: Any, **handling: Any) -> Compressed:
        threads.add(threading.get_ident())
        if next(first_two, None) is not None:
            both_busy.wait(HANG)
        return encode(image, *asked, **handling)

    monkeypatch.setattr(fake, "encode", noted)
    monkeypatch.setattr(slimcae.codec, "load", load)
    monkeypatch.setattr("slimcae.machine.available_cores", lambda: 6)
    assert call(["compress", "-r", photos, "-j", "2"]) == 0
    assert loads == [3]
    assert len(threads) == 2
    assert call(["compress", "-r", photos, "-y", "-j", "2", "--threads", "5"]) == 0
    assert call(["compress", "-r", photos, "-y", "-j", "1"]) == 0
    assert loads == [3, 5, None]


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([10**6] * 9, 6),
        ([10**6] * 4, 4),
        ([10**6, 5 * 10**6], 2),
        ([10**6, 10**6, 10**6, 5 * 10**6], 3),
        ([10**6, 12 * 10**6], 1),
        ([10**6], 1),
        ([], 1),
    ],
)
def test_small_files_are_done_one_per_core(
    tmp_path: Path, pixels: list[int], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimcae.machine.available_cores", lambda: 6)
    sizes = {tmp_path / str(index): number for index, number in enumerate(pixels)}
    for path in sizes:
        path.touch()
    jobs = [Job(str(path), "x") for path in sizes]
    skipped = [Job("problem", "x", problem="!"), Job("done", "x", done=True)]
    plan = Plan((*jobs, *skipped), several=True, folder=None)
    assert plan.files_at_a_time(None, sizes.__getitem__) == expected
    assert plan.files_at_a_time(3, sizes.__getitem__) == max(1, min(3, len(jobs)))


def test_files_side_by_side_are_the_default(
    photos: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    NotingCodec(codec).take_over(monkeypatch)
    found: list[int] = []
    run_jobs = compress.run_jobs

    def noted(*args: Any) -> int:
        found.append(args[-1])
        return run_jobs(*args)

    monkeypatch.setattr(compress, "run_jobs", noted)
    monkeypatch.setattr("slimcae.machine.available_cores", lambda: 2)
    assert call(["compress", "-r", photos]) == 0
    assert call(["compress", "-r", photos, "-y", "-j", "1"]) == 0
    assert found == [2, 1]


# stopping


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


@contextmanager
def running(argv: list[str | Path]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that compresses one picture, and never ends another: the file `stuck` tells."""
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, *map(str, argv)],
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


def test_a_reader_of_objects_who_leaves_early_is_no_error(photos: Path, model: Path) -> None:
    Path("photos/sub/notes.txt").unlink()  # of which a line would be said
    argv: list[str | Path] = ["compress", "-r", photos, "-o", "new/", "-m", model, "-j", "2"]
    with running([*argv, "--json"]) as left:
        assert left.stdout is not None and left.stderr is not None
        left.stdout.close()
        assert left.stderr.read() == b""
        assert left.wait(HANG) == 128 + 13
    assert all(name.endswith(".scae") for name in tree(Path("new")))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Whatever started the tests may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_what_is_being_written_when_stopped_is_written_whole(
    photos: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes while one thread writes: that file is whole, and no other is begun."""
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
            os.kill(os.getpid(), signal.SIGINT)  # as a terminal does: to the process
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


def test_standard_input_into_a_file(
    photos: Path, model: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (photos / "a.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert call(["compress", "-", "-o", "x.scae", "-m", model]) == 0
    assert Path("x.scae").read_bytes() == codec.compress(photos / "a.png")


def test_an_unbuffered_output_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with PYTHONUNBUFFERED=1, where one write may take a part only."""
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
