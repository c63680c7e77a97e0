"""Folders of photos for tests of commands that process many files."""

from pathlib import Path

import pytest
from command_line import save_photo, save_tiny_model

import slimcae
from slimcae.codec import Codec


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def codec(model: Path) -> Codec:
    return slimcae.load(model)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the folder `photos` with three pictures at three depths and a text file."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.png", "sub/b.JPG", "sub/deep/c.webp")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_photo(path, (40 + seed, 56), seed)
    Path("photos/sub/notes.txt").write_text("no picture")
    return Path("photos")
