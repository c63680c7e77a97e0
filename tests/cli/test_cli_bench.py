"""Test slimcae bench on two tiny pictures, with real codecs and few points."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
from command_line import call, error_line, save_photo, save_tiny_model
from PIL import AvifImagePlugin, Image, features

from slimcae.evaluation import contenders

Argv = list[str | Path]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(AvifImagePlugin, "DEFAULT_MAX_THREADS", 0)  # restored at the end
    monkeypatch.setattr("slimcae.plots.style.DOTS_PER_INCH", 60)
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in (1, 2):
        save_photo(folder / f"{seed}.png", (168, 176), seed)
    return folder


def test_two_pictures_through_everything(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = tmp_path / "out" / "b"
    argv: Argv = ["bench", photos, "-m", model, "--report_path", prefix, "--reference"]
    assert call([*argv, "--repeats", "2", "--effort", "2", "3", "2"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("2 images; ")
    for name in ("SlimCAE", "JPEG", "WebP", "JPEG 2000", "AVIF speed 6", "JPEG XL effort 7"):
        assert [line for line in lines if line.startswith(f"{name} ")], name
        assert [line for line in lines if line.startswith(f"  {name}: ")], name  # settings
    assert any(line.startswith("BD-rate of SlimCAE") for line in lines)
    assert "published" not in out
    assert err.count("no BD-rates against published curves") == err.count("of Kodak") == 1
    assert "(not 24, but 2)" in err
    assert f"report written: {prefix}.csv" in err
    document = json.loads((tmp_path / "out" / "b_slimcae.json").read_text(encoding="utf-8"))
    assert document["results"]["setting"] == [8, 12] or document["results"]["setting"] == [12, 8]
    assert min(document["results"]["encoding_time"]) > 0
    assert "2 images" in document["description"] and "tiny@1" in document["description"]
    searched = json.loads(
        (tmp_path / "out" / "b_slimcae-effort-3.json").read_text(encoding="utf-8")
    )
    assert searched["name"] == "SlimCAE effort 3"
    assert not (tmp_path / "out" / "b_slimcae-effort-1.json").exists()
    webp = json.loads((tmp_path / "out" / "b_webp.json").read_text(encoding="utf-8"))
    assert webp["results"]["bpp"] == sorted(webp["results"]["bpp"])
    assert all(0 < value < 1 for value in webp["results"]["ms-ssim-rgb"])
    with Image.open(tmp_path / "out" / "b_rd.png") as image:
        assert image.format == "PNG"


def test_what_is_absent_is_said_once(
    model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(contenders, "find_spec", lambda name: None)
    monkeypatch.setattr(features, "check", lambda name: name == "jpg")
    (photos / "2.png").unlink()
    assert call(["bench", photos, "-m", model, "--report_path", tmp_path / "b"]) == 0
    out, err = capsys.readouterr()
    assert err.count("JPEG XL left out") == 1
    assert "Kodak" not in err  # --reference was not given
    assert "JPEG XL" not in out and "AVIF" not in out
    assert not (tmp_path / "b_slimcae-effort-3.json").exists()


def test_refusals(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no images" in error_line(capsys, ["bench", tmp_path / "absent"])
    (tmp_path / "file").touch()
    argv: Argv = ["bench", photos, "-m", model, "--report_path", tmp_path / "file" / "b"]
    assert "cannot write a report" in error_line(capsys, argv)
    argv = ["bench", photos, "-m", model, "--report_path", tmp_path / "b", "-q", "50"]
    assert "no quality scale" in error_line(capsys, argv)
