"""Test the search for pictures in folders and by patterns."""

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from slimcae.errors import ImageError
from slimcae.images import KINDS, find_images
from slimcae.images.finding import NO_FILES, find_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.JPG", "deep/er/c.webp", "deep/d.txt", "deep/e.scae", "f[1].png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def found(folder: Path, pattern: str) -> list[str]:
    return [p.relative_to(folder).as_posix() for p in find_images(str(folder / pattern))]


def test_a_folder_is_searched_by_suffix(folder: Path) -> None:
    everything = ["a.JPG", "b.png", "deep/er/c.webp", "f[1].png"]
    assert found(folder, "") == everything


SEARCHED = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "DIB", "PPM", "JPEG2000")


def test_all_suffixes_of_the_formats_that_are_read_are_taken() -> None:
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in SEARCHED}
    assert {f".{kind}" for kind in KINDS} == known


def test_folders_hold_pictures_by_any_of_their_names_and_nothing_else(tmp_path: Path) -> None:
    pictures = ["a.apng", "b.JFIF", "c.jpe", "d.dib", "e.pnm", "f.pbm", "g.j2k", "h.jpx", "i.mpo"]
    others = [
        "._a.png",
        ".DS_Store",
        "Thumbs.db",
        "a.pdf",
        "a.mpg",
        "a.h5",
        "png",
        ".png",
        "a.scae",
    ]
    for name in (*pictures, *others):
        (tmp_path / name).touch()
    assert find_files(tmp_path, KINDS).left_out[NO_FILES] == 0
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        (tmp_path / "nothing.png").symlink_to("missing.png")
        (tmp_path / "loop.png").symlink_to("loop.png")
        assert find_files(tmp_path, KINDS).left_out[NO_FILES] == 3
    assert found(tmp_path, "") == pictures


def test_linked_folders_are_searched_and_loops_end(tmp_path: Path) -> None:
    top, elsewhere = tmp_path / "top", tmp_path / "elsewhere"
    for name in ("top/real/a.png", "elsewhere/b.png", "elsewhere/deep/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (top / "0-up").symlink_to(top)  # sorts before all others
    (top / "0-real").symlink_to("real")
    (top / "real" / "up").symlink_to("..")
    (elsewhere / "back").symlink_to(top)
    (top / "link").symlink_to(elsewhere)
    (top / "same").symlink_to(elsewhere)
    (top / "itself").symlink_to("itself")
    (top / "nothing").symlink_to("missing")
    (top / "linked.png").symlink_to(elsewhere / "b.png")
    everything = ["link/b.png", "link/deep/c.png", "linked.png", "real/a.png"]
    assert found(top, "") == everything
    assert found(top / "link", "") == ["b.png", "back/linked.png", "back/real/a.png", "deep/c.png"]
    assert found(top, "**/*.png") == everything  # Python's own ** would not end here
    assert found(top, "**/**/*.png") == everything
    assert found(top, "*/*.png") == [
        *("0-real/a.png", "0-up/linked.png", "link/b.png", "real/a.png", "same/b.png"),
    ]


def test_a_folder_that_cannot_be_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scandir = os.scandir

    def guarded(path: Any) -> Any:  # as chmod does, which does not stop root
        if Path(path) == folder / "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert found(folder, "") == ["a.JPG", "b.png", "f[1].png"]
    assert caplog.messages == [
        f"folder {folder / 'deep'} cannot be read: Permission denied (left out)"
    ]


def test_patterns_and_single_files(folder: Path) -> None:
    assert found(folder, "*.png") == ["b.png", "f[1].png"]
    assert found(folder, "**/*.*") == sorted(
        ["a.JPG", "b.png", "deep/d.txt", "deep/e.scae", "deep/er/c.webp", "f[1].png"]
    )
    assert found(folder, "deep/d.txt") == ["deep/d.txt"]
    assert found(folder, "f[1].png") == ["f[1].png"]


def test_finding_nothing_says_what_was_looked_for(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ImageError, match=r"no images in .*empty .* png .* jpg .* jp2"):
        find_images(str(folder / "empty"))
    with pytest.raises(ImageError, match=r"no images at '.*\*\.gif'"):
        find_images(str(folder / "*.gif"))
    with pytest.raises(ImageError, match=r"no images at '.*missing'"):
        find_images(str(folder / "missing"))
