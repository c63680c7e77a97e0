"""Test problems after the first use: continued runs, concurrent runs, unusual arguments."""

import json
from pathlib import Path

import pytest
from command_line import call, error_line, save_photo, save_tiny_model

import slimcae
from optional_torch import locked, needs_torch, torch
from slimcae.errors import ConfigError, TrainingError

TRAIN = ["--quiet", "--device", "cpu", "--no_warm_start", "--compile", "off"]


def settings_of(folder: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line.get("event") == "start"]


def train(tmp_path: Path, *more: str) -> int:
    if not (tmp_path / "photos").exists():
        (tmp_path / "photos").mkdir()
        save_photo(tmp_path / "photos" / "a.png")
    where: list[str | Path] = [
        "--train_glob",
        tmp_path / "photos",
        "--checkpoint_dir",
        tmp_path / "run",
    ]
    return call(["train", *where, *TRAIN, *more])


@needs_torch
def test_continuing_keeps_the_settings_that_are_not_given(tmp_path: Path) -> None:
    small = ["--switch_list", "8", "4", "--patchsize", "32", "--batchsize", "2", "--last_step", "2"]
    assert train(tmp_path, *small, "--learning_rate", "2e-4") == 0
    assert train(tmp_path, "--last_step", "3", "--clip_norm", "2") == 0
    first, second = settings_of(tmp_path / "run")
    assert (first["step"], second["step"]) == (0, 2)
    changed = {name for name in first if first[name] != second[name]} - {"step", "seconds"}
    assert changed == {"last_step", "clip_norm"}


@needs_torch
def test_a_finished_run_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--switch_list", "8", "4", "--patchsize", "32", "--batchsize", "2", "--last_step", "2"]
    assert train(tmp_path, *small) == 0
    capsys.readouterr()
    args: list[str | Path] = [word for word in TRAIN if word != "--quiet"]
    where: list[str | Path] = [
        "--train_glob",
        tmp_path / "photos",
        "--checkpoint_dir",
        tmp_path / "run",
    ]
    assert call(["train", *where, *args]) == 0
    assert (
        "nothing left to train: step 2 is done; give a later --last_step" in capsys.readouterr().err
    )


def test_a_second_training_in_a_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fcntl", reason="Windows has no such locks")
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run"):
        assert train(tmp_path, "--switch_list", "8", "4", "--last_step", "1") == 1
    assert "another training is running" in capsys.readouterr().err
    assert not (tmp_path / "run" / "state.pt").exists()
    with locked(tmp_path / "run"), pytest.raises(TrainingError), locked(tmp_path / "run"):
        pass


@needs_torch
def test_a_run_folder_stands_for_its_model(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model.safetensors")
    assert slimcae.load(tmp_path).widths == slimcae.load_model(tmp_path).widths == (12, 8)


@pytest.mark.parametrize("name", [".", "", "/"])
def test_a_folder_is_no_picture(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a folder: name one file" in error_line(capsys, ["compress", name])


def test_info_refuses_what_compress_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_tiny_model(tmp_path / "model.safetensors")
    data = model.read_bytes()
    for length in (len(data) // 2, len(data) - 1):
        model.write_bytes(data[:length])
        assert "model.safetensors" in error_line(capsys, ["info", model])
    model.write_bytes(data.replace(b'\\"format\\": 4', b'\\"format\\": 9'))
    assert "format 9" in error_line(capsys, ["info", model])


def test_not_enough_memory_is_said_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> bytes:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried…")

    monkeypatch.setattr(slimcae.Codec, "encode", exhausted)
    photo, model = save_photo(tmp_path / "a.png"), save_tiny_model(tmp_path / "m.safetensors")
    message = error_line(capsys, ["compress", photo, "--model", model])
    assert message.startswith("not enough memory")


@needs_torch
def test_wrong_arguments_in_python_are_named(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "m.safetensors")
    codec, network = slimcae.load(model), slimcae.load_model(model)
    photo = save_photo(tmp_path / "a.png")
    for width in (8.0, "8", 9):
        with pytest.raises(ConfigError, match="choose from 12, 8"):
            codec.compress(photo, width)  # type: ignore[arg-type]
    assert codec.decompress(memoryview(codec.compress(photo))).size == (56, 40)
    for shape in ((1, 1, 64, 64), (1, 3, 65, 64), (3, 64, 64)):
        with pytest.raises(ConfigError, match="multiples of 16"):
            network(torch.zeros(shape), 8)
