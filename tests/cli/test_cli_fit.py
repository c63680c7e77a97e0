"""Test `slimcae fit` from end to end on a tiny model."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
from command_line import call, error_line

from slimcae.coding.activity import TablesModel
from slimcae.coding.factorized import FactorizedModel
from slimcae.model.config import ModelInfo
from slimcae.model.file import read_model, write_model
from slimcae.model.quality import QualityScale
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE


@pytest.fixture
def saved(tiny_network: SlimCAE, tmp_path: Path) -> Path:
    path = tmp_path / "plain.safetensors"
    info = ModelInfo("tiny", "3", (4.0, 2.0, 1.0), {"steps": 7})
    write_model(path, to_model(tiny_network, info, steps=(1.0, 0.5, 2.0)))
    return path


def options(model: Path, pictures: Path, output: Path) -> list[str | Path]:
    return [
        "fit", "--model", model, "--train_glob", pictures, "--inputPath", pictures,
        "-o", output, "--device", "cpu",
    ]  # fmt: skip


@pytest.mark.parametrize("half", [False, True])
def test_fit_writes_a_model_with_quality_and_fitted_tables(
    saved: Path,
    picture_folder: Path,
    tmp_path: Path,
    half: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "fitted.safetensors"
    assert call([*options(saved, picture_folder, output), *(["--half"] if half else [])]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"fitted.safetensors written after \d+ s", err)
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [row[:2] for row in rows] == [["12", "tables"], ["8", "tables"], ["4", "tables"]]
    assert "% against factorized" in out and "rounding" not in out
    before, after = read_model(saved), read_model(output)
    assert (after.info.name, after.info.version, after.info.lmbda) == ("tiny", "3", (4.0, 2.0, 1.0))
    assert after.info.training["steps"] == 7
    assert after.info.training["fit"]["training_images"] == 4
    assert after.steps == before.steps
    assert after.info.quality is not None
    scale = QualityScale.of_model(after.steps, after.widths, after.info.quality)
    assert scale.point(0) != scale.point(100)
    for width in (12, 8, 4):
        assert isinstance(before.entropy_model(width), FactorizedModel)
        assert isinstance(after.entropy_model(width), TablesModel)
    kernel = after.tensors["g_a.conv2.weight"]
    assert np.array_equal(kernel, kernel.astype(np.float16)) is half


def test_fit_overwrites_nothing_unasked(
    saved: Path, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "there.safetensors"
    output.write_bytes(b"precious")
    message = error_line(capsys, options(saved, picture_folder, output))
    assert "there.safetensors exists: add -y" in message
    assert output.read_bytes() == b"precious"
    message = error_line(capsys, [*options(saved, picture_folder, saved), "-y"])
    assert "is the input itself" in message
    assert read_model(saved).info.quality is None
    assert call([*options(saved, picture_folder, output), "-y"]) == 0
    assert read_model(output).info.quality is not None


def test_fit_can_name_the_model(
    saved: Path, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "named.safetensors"
    words = options(saved, picture_folder, output)
    assert call([*words, "--name", "mine", "--model-version", "2.1"]) == 0
    info = read_model(output).info
    assert (info.name, info.version) == ("mine", "2.1")
    capsys.readouterr()
    message = error_line(capsys, [*words, "-y", "--name", "n" * 25])
    assert "1 to 24" in message


def test_fit_makes_integers_of_context_networks(
    saved: Path, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    where: list[str | Path] = ["--train_glob", picture_folder, "--checkpoint_dir", run]
    entropy: list[str | Path] = [
        "train",
        "--stage",
        "entropy",
        "--init_from",
        saved,
        "--inputPath",
        picture_folder,
    ]
    assert call([*entropy, *where, "--switch_list", "12", "--last_step", "60",
                 "--device", "cpu"]) == 0  # fmt: skip
    capsys.readouterr()
    output = tmp_path / "fitted.safetensors"
    assert call(options(run, picture_folder, output)) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert re.search(r"against factorized.* rounding to integers: [+-]\d", lines[0])
    assert "rounding" not in lines[1]
    found = read_model(output)
    assert list(found.info.training["fit"]["rounding"]) == ["12"]
    assert found.info.training["entropy"]["last_step"] == 60
    assert not found.training_tensors  # the run has these tensors, but coding does not need them
