"""Test the paths of outputs of many files, and which files are replaced."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_photos import codec, model, photos
from command_line import call, save_photo, tree
from noting_codec import NotingCodec
from PIL import Image

import slimcae
from slimcae.codec import Codec, Compressed
from slimcae.images import Picture


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


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
    Path("back").mkdir()  # a folder needs no slash if it exists
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
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert all(fact in err for fact in ("error: photos/x.heic", "HEIC", "not installed"))
    assert err.endswith(": pip install pillow-heif\n")


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_what_is_left_out_of_linked_folders_is_counted_once(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loops of links end, and every folder is listed once, for pictures and other files."""
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
    assert "error: photos/a.jpg has the same output as photos/a.png, photos/a.scae: " in err
    assert "error: photos/a.png has the same output as photos/a.png, photos/a.scae: " in err
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
    assert "error: photos/a.webp has the same output as photos/a.png, photos/a.scae: " in err
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
