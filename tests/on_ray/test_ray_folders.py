"""Test folders as local paths, URIs, and fsspec filesystems: all find the same pictures."""

import pickle  # noqa: TID251 (what Ray does)
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed: make test-ray installs it")

import fsspec
from pyarrow import fs

from slimcae.errors import ConfigError
from slimcae.ray.folders import Folder

NAMES = ("a.png", "b/c.JPG", "b/d/e f.webp")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for name in (*NAMES, "notes.txt", "b/._c.JPG", "b/d/out.scae"):
        path = tmp_path / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "top"


def folders(top: Path) -> list[Folder]:
    return [
        Folder.at(top),
        Folder.at(top.as_uri()),
        Folder.at(str(top), fsspec.filesystem("file")),
        Folder.at(f"file://{top}", fs.SubTreeFileSystem("/", fs.LocalFileSystem())),
        Folder.at(f"local://{top}"),  # a scheme that fsspec knows, and PyArrow does not
    ]


def test_every_filesystem_finds_and_reads_the_same(top: Path) -> None:
    for folder in folders(top):
        for each in (folder, pickle.loads(pickle.dumps(folder))):
            found = each.find(("png", "jpg", "webp"))
            assert found.names == sorted(NAMES)
            assert found.left_out[".txt"] == 1
            assert [each.read(name).decode() for name in found.names] == found.names


def test_every_filesystem_writes_into_new_folders(top: Path) -> None:
    for number, folder in enumerate(folders(top)):
        name = f"new{number}/b/picture.scae"
        for content in (b"first", b"second"):
            folder.write(name, content)
            assert (top / name).read_bytes() == content
        assert [path.name for path in (top / name).parent.iterdir()] == ["picture.scae"]


def test_what_is_no_folder_is_refused(top: Path) -> None:
    cases: list[Any] = [top / "missing", top / "a.png", (top / "missing").as_uri()]
    for where in cases:
        with pytest.raises(ConfigError, match="check the path"):
            Folder.at(where).find(("png",))
    with pytest.raises(ConfigError, match="nonsense://here"):
        Folder.at("nonsense://here")


def test_memory_of_fsspec_is_an_object_store_like_any_other() -> None:
    memory = fsspec.filesystem("memory")
    folder = Folder.at("memory://photos", memory)
    folder.write("a/b.png", b"content")
    assert folder.find(("png",)).names == ["a/b.png"]
    assert folder.read("a/b.png") == b"content"
