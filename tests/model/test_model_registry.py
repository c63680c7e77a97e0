"""Test installed models: the list, names, and the model that a file needs."""

import os
from pathlib import Path

import pytest

from model_files import described, forge_model, save_forged
from slimcae import user_folders
from slimcae.container import Header
from slimcae.errors import BitstreamError, ConfigError, ModelError
from slimcae.model import registry
from slimcae.model.registry import (
    add_model,
    find_model,
    installed_models,
    matching_model,
    model_for,
    models_folder,
    shipped_model,
)

NEEDED = "00112233445566ff"
OTHER = {"fingerprints": {"12": "ff" * 8, "8": "ee" * 8}}


def header(fingerprint: str = NEEDED, width: int = 12) -> Header:
    return Header(
        image_height=5,
        image_width=7,
        grey=False,
        srgb=False,
        num_filters=width,
        step=0,
        entropy_model="context",
        tile_side=1024,
        model_name="tiny",
        model_fingerprint=bytes.fromhex(fingerprint),
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a models folder, and a packaged model: `main` version 0.9."""
    monkeypatch.setenv("SLIMCAE_MODELS", str(tmp_path / "models"))
    main = {"12": "aa" * 8, "8": "bb" * 8}
    shipped = save_forged(tmp_path / "main", name="main", version="0.9", fingerprints=main)
    monkeypatch.setattr(registry, "shipped_model", lambda: shipped)
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models"


def test_the_shipped_model_is_in_the_package() -> None:
    assert shipped_model().is_file()
    assert find_model(None) == shipped_model()


def test_every_model_of_the_package_is_installed_and_the_default_comes_first(folder: Path) -> None:
    beside = save_forged(folder.parent / "an-older.safetensors", name="older", version="0.8")
    save_forged(folder / "a.safetensors")
    assert [m.label for m in installed_models()] == ["main@0.9", "older@0.8", "tiny@7"]
    assert find_model("older") == beside
    assert find_model(None) == folder.parent / "main"


def test_installed_models_are_the_shipped_one_and_then_the_folders(folder: Path) -> None:
    assert [m.label for m in installed_models()] == ["main@0.9"]
    save_forged(folder / "b.safetensors", version="2")
    save_forged(folder / "a.safetensors", name="other")
    save_forged(folder / "ignored.txt")
    found = installed_models()
    assert [m.label for m in found] == ["main@0.9", "other@7", "tiny@2"]
    assert [m.path.name for m in found] == ["main", "a.safetensors", "b.safetensors"]


def test_broken_models_are_left_out_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "a.safetensors").write_bytes(forge_model(described())[:-1])
    save_forged(folder / "b.safetensors")
    assert [m.label for m in installed_models()] == ["main@0.9", "tiny@7"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "a.safetensors is not a slimcae model file" in record.getMessage()


def test_where_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLIMCAE_MODELS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert models_folder() == tmp_path / ".local" / "share" / "slimcae" / "models"
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert models_folder() == Path("data/slimcae/models")
    monkeypatch.setattr(user_folders, "_WINDOWS", True)
    monkeypatch.setenv("LOCALAPPDATA", "local")
    assert models_folder() == Path("local/slimcae/models")
    monkeypatch.setenv("SLIMCAE_MODELS", "mine")
    assert models_folder() == Path("mine")


def test_without_a_home_the_shipped_model_still_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("SLIMCAE_MODELS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert [m.label for m in installed_models()] == ["main@0.9"]
    assert model_for(header("aa" * 8)).name == "main"
    with pytest.raises(ConfigError, match="no home folder: set HOME"):
        add_model(folder.parent / "main")


def test_a_file_or_a_run_folder_is_itself(folder: Path) -> None:
    run = folder.parent / "run"
    run.mkdir()
    inside = save_forged(run / "model.safetensors")
    assert find_model(run) == find_model(str(run)) == inside
    assert find_model(inside) == find_model(str(inside)) == inside
    save_forged(folder / "x.safetensors", name="run")
    assert find_model("run") == Path("run/model.safetensors")  # the models folder has priority


def test_a_name_means_the_newest_version(folder: Path) -> None:
    for version in ("0.9", "0.10", "0.10rc", "0.2"):
        save_forged(folder / f"{version}.safetensors", version=version)
    assert find_model("tiny@0.9").name == "0.9.safetensors"
    assert find_model("tiny@0.2").name == "0.2.safetensors"
    assert find_model("tiny").name == "0.10rc.safetensors"
    (folder / "0.10rc.safetensors").unlink()
    assert find_model("tiny").name == "0.10.safetensors"
    assert find_model("main").name == "main"
    (folder.parent / "tiny").mkdir()  # a folder without a model does not hide the name
    assert find_model("tiny").name == "0.10.safetensors"


def test_a_model_that_is_not_here_lists_those_that_are(folder: Path) -> None:
    save_forged(folder / "a.safetensors")
    for wanted in ("tiny@8", "no.safetensors", "tin"):
        with pytest.raises(ModelError, match=r"^no model .* \(main@0\.9, tiny@7\)$") as caught:
            find_model(wanted)
        assert wanted in str(caught.value)
    (folder.parent / "empty").mkdir()
    with pytest.raises(ModelError, match=r"folder empty .*model\.safetensors: give"):
        find_model("empty")


def test_a_file_finds_its_model_by_fingerprint(folder: Path) -> None:
    save_forged(folder / "a.safetensors", **OTHER)  # of the same name and version
    needed = save_forged(folder / "b.safetensors")
    assert model_for(header()) == needed
    assert model_for(header("8899aabbccddeeff", 8)) == needed
    found = matching_model(header())
    assert found is not None and found.path == needed
    assert model_for(header("bb" * 8, 8)).name == "main"


def test_a_file_of_another_model_says_what_it_needs_and_what_is_here(folder: Path) -> None:
    save_forged(folder / "a.safetensors", version="1.2", **OTHER)
    with pytest.raises(BitstreamError) as caught:
        model_for(header())
    message = str(caught.value)
    assert f"needs model tiny width 12 ({NEEDED})" in message
    assert f"main@0.9 {'aa' * 8}, tiny@1.2 {'ff' * 8}" in message
    with pytest.raises(BitstreamError, match=r"main@0\.9 without width 16, tiny@1\.2 without"):
        model_for(header(NEEDED, 16))  # the fingerprint of another width does not match
    assert matching_model(header()) is None


def test_adding_copies_whole_files_under_name_and_version(folder: Path, tmp_path: Path) -> None:
    folder.rmdir()  # it is made when needed
    source = save_forged(tmp_path / "run.bin")
    added = add_model(source)
    assert added.path == folder / "tiny-7.safetensors"
    assert added.path.read_bytes() == source.read_bytes()
    assert model_for(header()) == added.path == find_model("tiny@7")
    assert [path.name for path in folder.iterdir()] == ["tiny-7.safetensors"]


def test_adding_replaces_only_with_leave(folder: Path, tmp_path: Path) -> None:
    source = save_forged(tmp_path / "run.bin")
    add_model(source)
    save_forged(source, **OTHER)
    with pytest.raises(ModelError, match=r"tiny-7\.safetensors exists: add -y"):
        add_model(source)
    assert (folder / "tiny-7.safetensors").read_bytes() != source.read_bytes()
    add_model(source, overwrite=True)
    assert (folder / "tiny-7.safetensors").read_bytes() == source.read_bytes()
    add_model(folder / "tiny-7.safetensors", overwrite=True)  # onto itself
    assert (folder / "tiny-7.safetensors").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", ["../up", "/etc/x", "..", "a b:c*?", "CON|<>"])
def test_no_name_leaves_the_folder(folder: Path, tmp_path: Path, name: str) -> None:
    before = set(tmp_path.rglob("*"))
    source = save_forged(tmp_path / "run.bin", name=name)
    added = add_model(source)
    assert added.path.parent == folder
    assert set(tmp_path.rglob("*")) - before == {source, added.path}
    assert find_model(f"{name}@7") == added.path


def test_broken_files_are_not_installed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(forge_model(described())[:-1])
    with pytest.raises(ModelError, match="cut is not a slimcae model file"):
        add_model(tmp_path / "cut")
    assert list(folder.iterdir()) == []


def test_a_failing_copy_leaves_what_was_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    source = save_forged(tmp_path / "run.bin")
    added = add_model(source)
    before = added.path.read_bytes()
    save_forged(source, **OTHER)
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(ConfigError, match=r"tiny-7\.safetensors cannot be written: No space left"):
        add_model(source, overwrite=True)
    assert [path.read_bytes() for path in folder.iterdir()] == [before]
