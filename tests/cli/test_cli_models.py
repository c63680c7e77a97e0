"""Test slimcae models: the table of installed models, and installing."""

import json
from pathlib import Path

import pytest
from command_line import call, error_line

from model_files import described, forge_model, save_forged
from slimcae.model import registry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLIMCAE_MODELS", str(tmp_path / "models"))
    shipped = save_forged(tmp_path / "main", name="main", version="0.9", quality=None)
    monkeypatch.setattr(registry, "shipped_model", lambda: shipped)
    return tmp_path / "models"


def test_a_table_with_one_line_for_each_model(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save_forged(tmp_path / "run.bin", version="11")
    assert call(["models", "--add", source]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    target = folder / "tiny-11.safetensors"
    assert err == f"slimcae: tiny@11 installed: {target}\n"
    assert call(["models"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split() for line in out.splitlines()] == [
        ["name", "version", "widths", "steps", "fingerprint", "file"],
        ["main", "0.9", "12", "8", "3", "00112233445566ff", str(tmp_path / "main")],
        ["tiny", "11", "12", "8", "3", "00112233445566ff", str(target)],
    ]
    head, *rows = out.splitlines()
    assert [row.index("12 8") for row in rows] == [head.index("widths")] * 2


def test_the_same_as_json(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "folder": str(folder),
        "models": [
            {
                "name": "main",
                "version": "0.9",
                "widths": [12, 8],
                "steps": 3,
                "fingerprint": "00112233445566ff",
                "file": str(tmp_path / "main"),
            }
        ],
    }


def test_a_run_folder_can_be_installed_and_is_replaced_only_with_y(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    source = save_forged(tmp_path / "run" / "model.safetensors")
    assert call(["models", "--add", tmp_path / "run"]) == 0
    save_forged(source, lmbda=None)
    capsys.readouterr()
    assert "tiny-7.safetensors exists: add -y" in error_line(
        capsys, ["models", "--add", tmp_path / "run"]
    )
    assert call(["models", "--add", tmp_path / "run", "-y", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert (folder / "tiny-7.safetensors").read_bytes() == source.read_bytes()


def test_broken_files_are_refused_and_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut").write_bytes(forge_model(described())[:-9])
    assert "cut is not a slimcae model file" in error_line(
        capsys, ["models", "--add", tmp_path / "cut"]
    )
    assert "no model" in error_line(capsys, ["models", "--add", tmp_path / "absent"])
    assert not folder.exists()


def test_a_broken_model_in_the_folder_is_a_warning(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    (folder / "bad.safetensors").write_bytes(b"bad")
    assert call(["models"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err.startswith("slimcae: warning: ") and "bad.safetensors" in err
