"""Test commands with models whose operating points are not widths."""

import csv
import json
from functools import partial
from pathlib import Path

import pytest
from command_line import call, error_line, save_photo

from method_networks import coding
from slimcae import profiling
from slimcae.container import read_header
from slimcae.model.file import read_model, write_model
from slimcae.profiling import calibration, table


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "modulated.safetensors"
    write_model(path, coding("modulated")[1])
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_photo(tmp_path / "photo.png", (64, 96))


def test_a_file_of_a_point_comes_back(
    tmp_path: Path, model: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = tmp_path / "photo.scae"
    options: list[str | Path] = ["-m", model, "--backend", "torch"]
    assert call(["compress", photo, "--point", "2", "--json", *options]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["width"], facts["point"]) == (12, 2)
    header = read_header(packed.read_bytes())
    assert header.model_fingerprint == coding("modulated")[1].fingerprint(2)
    assert call(["decompress", packed, "-o", tmp_path / "back.png", *options]) == 0
    capsys.readouterr()
    line = error_line(capsys, ["compress", photo, "-y", "--width", "12", *options])
    assert line.startswith("width 12 cannot be chosen: the operating points of this model, of ")
    assert line.endswith("choose a point by its number, 3, 2, 1")
    line = error_line(capsys, ["compress", photo, "-y", "--point", "12", *options])
    assert line == "this model has no operating point 12: choose from 3, 2, 1"
    assert call(["compress", photo, "-y", "--max-decode-macs", "1G", *options]) == 0
    assert "point 3 (λ 400)" in capsys.readouterr().err


def test_info_tells_the_points(
    tmp_path: Path,
    model: Path,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(["info", "--json", model]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["method"] == "modulated"
    assert (facts["widths"], facts["points"]) == ([12, 12, 12], [3, 2, 1])
    assert facts["lambda"] == [400.0, 200.0, 90.0]
    monkeypatch.setenv("SLIMCAE_MODELS", str(tmp_path))
    packed = tmp_path / "photo.scae"
    assert call(["compress", photo, "--point", "1", "-m", model, "--backend", "torch"]) == 0
    capsys.readouterr()
    assert call(["info", "--json", packed]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["width"], facts["point"], facts["installed"]) == (12, 1, True)
    assert facts["decoder_macs_per_pixel"] > 0


def test_fit_makes_points_at_any_lambda(
    tmp_path: Path, model: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images: list[str | Path] = ["--train_glob", photo, "--inputPath", photo]
    made = tmp_path / "made.safetensors"
    lmbda: list[str | Path] = ["--lmbda", "400", "300", "200", "90"]
    assert call(["fit", "-m", model, *images, "-o", made, *lmbda, "--device", "cpu"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:2] == ["point", "kind"]
    assert [row[:15] for row in rows] == [
        "point 4 (λ 400)",
        "point 3 (λ 300)",
        "point 2 (λ 200)",
        "point 1 (λ 90) ",
    ]
    place = heading.index("kind")
    assert {row[place:].split()[0] for row in rows} <= {"factorized", "tables"}
    found, origin = read_model(made), read_model(model)
    assert found.points == (4, 3, 2, 1)
    assert found.info.lmbda == (400.0, 300.0, 200.0, 90.0)
    assert found.info.quality is not None
    factors = found.tensors["g_a.conv1.modulation"]
    assert (factors[[0, 2, 3]] == origin.tensors["g_a.conv1.modulation"]).all()
    assert found.training_tensors.keys() == origin.training_tensors.keys()
    capsys.readouterr()
    for wrong, words in (
        (["--lmbda", "500", "90"], "decreasing values from 400 to 90"),
        (["--lmbda", "90", "400"], "decreasing values from 400 to 90"),
    ):
        line = error_line(capsys, ["fit", "-m", model, *images, "-o", made, "-y", *wrong])
        assert words in line
    independent = tmp_path / "independent.safetensors"
    write_model(independent, coding("independent")[1])
    argv: list[str | Path] = ["fit", "-m", independent, *images, "-o", made, "-y", "--lmbda", "400"]
    assert "only a modulated model has" in error_line(capsys, argv)


def test_evaluate_measures_points_of_one_width(tmp_path: Path, model: Path, photo: Path) -> None:
    report = tmp_path / "report"
    options: list[str | Path] = ["--inputPath", photo, "--device", "cpu", "--precision", "float32"]
    assert call(["evaluate", *options, "--checkpoint_paths", model, "--report_path", report]) == 0
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["width"], row["lambda"]) for row in rows] == [
        ("12", "400.0"),
        ("12", "200.0"),
        ("12", "90.0"),
    ]
    assert len({row["decoder_macs_per_pixel"] for row in rows}) == 1
    for row in rows:
        real, ideal = (float(row[key]) * 64 * 96 / 8 for key in ("bpp", "bpp_estimated"))
        assert abs(real - ideal) <= 0.01 * ideal + 64


def test_profile_tells_points_of_one_width_apart(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Return the table as numbers, with λ and width; times are real, but for a small picture."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(calibration, "SIZES", ((32, 48), (64, 96)))
    monkeypatch.setattr(profiling, "complexity", partial(profiling.complexity, size=(64, 96)))
    monkeypatch.setattr(table, "_peak_memory", lambda *_: None)
    argv: list[str | Path] = ["profile", "-m", model, "-o", tmp_path / "p.json", "--repeats", "1"]
    assert call([*argv, "--plot", tmp_path / "p.png", "--backend", "torch", "--quiet"]) == 0
    *_, heading, best, middle, least = capsys.readouterr().out.splitlines()
    assert heading.split()[:4] == ["point", "λ", "width", "parameters"]
    assert best.split()[:3] == ["3", "400", "12"]
    assert middle.split()[:3] == ["2", "200", "12"]
    assert least.split()[:3] == ["1", "90", "12"]
    for line in (best, middle, least):
        assert line.index(" 12 ") + 3 == heading.index("width") + 5
    assert (tmp_path / "p.png").stat().st_size > 1000
    assert call([*argv, "-y", "--backend", "torch", "--quiet", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["widths"]
    assert [(row["width"], row["point"], row["lambda"]) for row in rows] == [
        (12, 3, 400.0),
        (12, 2, 200.0),
        (12, 1, 90.0),
    ]


def test_train_takes_a_method_and_its_settings(
    tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options: list[str | Path] = [
        "--train_glob",
        photo,
        "--checkpoint_dir",
        tmp_path / "run",
        "--device",
        "cpu",
    ]
    small: list[str | Path] = [
        *options,
        "--patchsize",
        "32",
        "--batchsize",
        "1",
        "--last_step",
        "1",
        "--log_every",
        "1",
    ]
    origin = tmp_path / "base.safetensors"
    write_model(origin, coding("independent")[1])
    scaling: list[str | Path] = ["train", "--method", "bottleneck_scaling", *small]
    line = error_line(capsys, scaling)
    assert "needs a trained model to begin with" in line
    assert "--init_from" in line
    assert call([*scaling, "--init_from", origin, "--lmbda", "400", "100"]) == 0
    capsys.readouterr()
    model = read_model(tmp_path / "run" / "model.safetensors")
    assert model.config.method == "bottleneck_scaling"
    assert (model.info.training["learning_rate"], model.info.training["decay"]) == (1e-3, "power")
    line = error_line(capsys, ["train", "--method", "modulated", *small, "--last_step", "2"])
    assert "--method modulated contradicts" in line
    argv: list[str | Path] = ["train", "--stage", "entropy", "--method", "modulated", *options]
    assert "--method is not for --stage entropy" in error_line(capsys, argv)
