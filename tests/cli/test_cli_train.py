"""Test the commands of the earlier port, as in its README, at small size from end to end."""

import csv
import json
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")
from command_line import LMBDA, ROOT, WIDTHS, call, environment, error_line, save_photo
from PIL import Image

from conftest import HANG, wait_until
from slimcae.cli.parser import parse
from slimcae.cli.settings import given_settings
from slimcae.model.file import read_model
from slimcae.model.header import read_model_header
from slimcae.networks.context_conversion import context_networks
from slimcae.training.settings import TrainSettings

# From the README of the earlier port, unchanged.
SEED_TRAIN = r"""
python SlimCAE_PyTorch.py train \
    --num_filters 192 \
    --switch_list 192 144 96 72 48 \
    --lmbda 2048 1024 512 256 128 \
    --train_glob '/path/to/training_dataset/' \
    --patchsize 128 \
    --last_step 1000000 \
    --checkpoint_dir '/path/of/the_pretrain_model_directory'
"""
SEED_SCHEDULE = r"""
python SlimCAE_PyTorch.py train_lambda_schedule \
    --num_filters 192 \
    --switch_list 192 144 96 72 48 \
    --lmbda 2048 1024 512 256 128 \
    --checkpoint_dir '/path/of/the_pretrain_model_directory' \
    --train_glob '/path/to/training_dataset/' \
    --inputPath '/path/to/validation_dataset/' \
    --patchsize 128 \
    --batchsize 8
"""
SEED_EVALUATE_ONE = r"""
python SlimCAE_PyTorch.py evaluate \
    --num_filters 192 \
    --switch_list 192 144 96 72 48 \
    --inputPath '/path/of/test_dataset/' \
    --checkpoint_paths '/path/of/the_pretrain_model.pth'\
    --report_path '/path/for/saving/results'
"""
SEED_EVALUATE_TWO = r"""
python SlimCAE_PyTorch.py evaluate \
    --num_filters 192 \
    --switch_list 192 144 96 72 48 \
    --inputPath '/path/of/test_dataset/' \
    --checkpoint_paths '/path/of/the_pretrain_model.pth' '/path/of/the_finetuned_model.pth'  \
    --report_path '/path/for/saving/results'
"""
SEED_WIDTHS = [192, 144, 96, 72, 48]
SEED_LMBDA = [2048.0, 1024.0, 512.0, 256.0, 128.0]


def words(command: str) -> list[str]:
    """Return the arguments of a command in a shell, without `python SlimCAE_PyTorch.py`."""
    python, script, *rest = shlex.split(command.replace("\\\n", ""))
    assert (python, script) == ("python", "SlimCAE_PyTorch.py")
    return rest


def test_seed_train_reads_as_meant() -> None:
    args, _ = parse(words(SEED_TRAIN))
    assert args.num_filters == 192
    assert args.switch_list == SEED_WIDTHS
    assert args.lmbda == SEED_LMBDA
    assert args.train_glob == "/path/to/training_dataset/"
    assert args.checkpoint_dir == Path("/path/of/the_pretrain_model_directory")
    assert given_settings(args, TrainSettings) == {"patchsize": 128, "last_step": 1_000_000}


def test_seed_schedule_reads_as_meant() -> None:
    args, _ = parse(words(SEED_SCHEDULE))
    assert (args.num_filters, args.switch_list, args.lmbda) == (192, SEED_WIDTHS, SEED_LMBDA)
    assert args.inputPath == "/path/to/validation_dataset/"
    assert given_settings(args, TrainSettings) == {"patchsize": 128, "batchsize": 8}


@pytest.mark.parametrize("command", [SEED_EVALUATE_ONE, SEED_EVALUATE_TWO], ids=["one", "two"])
def test_seed_evaluate_reads_as_meant(command: str) -> None:
    args, _ = parse(words(command))
    assert (args.num_filters, args.switch_list) == (192, SEED_WIDTHS)
    assert args.inputPath == "/path/of/test_dataset/"
    models = ["the_pretrain_model.pth", "the_finetuned_model.pth"]
    count = 1 if command is SEED_EVALUATE_ONE else 2
    assert [Path(name).name for name in args.checkpoint_paths] == models[:count]
    assert args.report_path == "/path/for/saving/results"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return folders of tiny pictures: `train/deep` and `valid`."""
    folder = tmp_path_factory.mktemp("seed")
    for name, count in (("train/deep", 3), ("valid", 1), ("test", 2)):
        (folder / name).mkdir(parents=True)
        for seed in range(count):
            save_photo(folder / name / f"{seed}.png", (48, 64), seed)
    return folder


def run_seed(command: str, place: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    """Run a command of the seed from the repository's root, with its paths and widths made small.

    `SlimCAE_PyTorch.py` itself is executed, in this process, which has torch already.
    """
    small = (
        command.replace("192 144 96 72 48", "12 8")
        .replace("num_filters 192", "num_filters 12")
        .replace("2048 1024 512 256 128", "2048 1024")
        .replace("patchsize 128", "patchsize 32")
        .replace("last_step 1000000", "last_step 6")
        .replace("/path/of/the_pretrain_model_directory", f"{place}/runs/first")
        .replace("/path/to/training_dataset/", f"{place}/train/")
        .replace("/path/to/validation_dataset/", f"{place}/valid/")
        .replace("/path/of/test_dataset/", f"{place}/test/")
        .replace("/path/of/the_pretrain_model.pth", f"{place}/runs/first/model.safetensors")
        .replace("/path/of/the_finetuned_model.pth", f"{place}/tuned.pth")
        .replace("/path/for/saving/results", f"{place}/results/run")
    )
    assert "/path/" not in small
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["SlimCAE_PyTorch.py", *words(small), *more])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path("SlimCAE_PyTorch.py", run_name="__main__")
    return int(stop.value.code or 0)


QUICK = ("--batchsize", "2", "--log_every", "2", "--device", "cpu")


def test_the_seeds_commands_from_end_to_end(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = place / "runs" / "first"
    assert run_seed(SEED_TRAIN, place, monkeypatch, *QUICK) == 0
    model = read_model(run / "model.safetensors")
    assert model.widths == WIDTHS
    assert model.info.lmbda == LMBDA
    assert model.info.training["step"] == 6

    # the same command with more steps continues
    assert run_seed(SEED_TRAIN, place, monkeypatch, *QUICK, "--last-step", "8") == 0
    assert "slimcae: resuming at step 6 of 8" in capsys.readouterr().err
    trained = (run / "model.safetensors").read_bytes()

    quick = ("--schedule_steps", "2", "--max-tries", "1", "--device", "cpu")
    assert run_seed(SEED_SCHEDULE, place, monkeypatch, *quick) == 0
    assert (run / "model.safetensors").read_bytes() == trained
    assert read_model(run / "model_scheduled.safetensors").info.lmbda == (2048.0, 0.8 * 1024)
    (place / "tuned.pth").write_bytes((run / "model_scheduled.safetensors").read_bytes())
    capsys.readouterr()

    assert run_seed(SEED_EVALUATE_ONE, place, monkeypatch, "--device", "cpu") == 0
    assert table_rows(capsys.readouterr().out) == [("first", 12), ("first", 8)]
    results = place / "results"
    assert {path.name for path in results.iterdir()} == {
        "run.csv", "run.json", "run_psnr.png", "run_mse.png", "run_bpp.png", "run_msssim.png",
        "run_msssim_db.png", "run_rd_psnr.png", "run_rd_msssim_db.png", "run_macs.png",
        "run_time.png",
    }  # fmt: skip
    assert json.loads((results / "run.json").read_text())["name"] == "first"

    assert run_seed(SEED_EVALUATE_TWO, place, monkeypatch, "--device", "cpu") == 0
    out, err = capsys.readouterr()
    assert table_rows(out) == [("first", 12), ("first", 8), ("tuned", 12), ("tuned", 8)]
    assert "tuned against first" in out
    assert f"{results}/run.csv" in err
    with (results / "run.csv").open(newline="") as file:
        assert [(row["model"], int(row["width"])) for row in csv.DictReader(file)] == table_rows(
            out
        )
    assert (results / "run_psnr_vs_width.png").exists()

    # another λ list than that of the folder is a contradiction, and detected early
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    where = ("--checkpoint_dir", run, "--train_glob", place / "train")
    assert call(["train", *where, "--lmbda", "7", "5"]) == 1
    assert re.search(r"--lmbda 7 5 contradicts .*2048 1024", capsys.readouterr().err)
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_another_architecture_trains_and_codes(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, photo = tmp_path / "run", place / "test" / "0.png"
    pictures = ["--train_glob", f"{place}/train"]
    small = ["--patchsize", "32", "--batchsize", "2", "--last_step", "3", "--device", "cpu"]
    model = ["--architecture", "light", "--switch_list", "12", "8", "--lmbda", "900", "400"]
    assert call(["train", *pictures, "--checkpoint_dir", run, *small, *model]) == 0
    assert read_model_header(run / "model.safetensors").config.architecture == "light"
    # the folder has the settings
    assert call(["train", *pictures, "--checkpoint_dir", run, *small, "--last_step", "4"]) == 0
    capsys.readouterr()
    other: list[str | Path] = ["--checkpoint_dir", run, "--architecture", "slimcae"]
    line = error_line(capsys, ["train", *pictures, *other, "--quiet"])
    assert "architecture slimcae" in line and "light" in line
    scae, png = tmp_path / "a.scae", tmp_path / "a.png"
    assert call(["compress", photo, "-m", run, "--width", "8", "-o", scae]) == 0
    assert call(["decompress", scae, "-m", run, "-o", png]) == 0
    with Image.open(png) as restored:
        assert restored.size == (64, 48)
    # an installed model can be named by --init_from
    monkeypatch.setenv("SLIMCAE_MODELS", str(tmp_path / "models"))
    assert call(["models", "--add", run]) == 0
    begun: list[str | Path] = ["--checkpoint_dir", tmp_path / "begun", "--init_from", "run"]
    assert call(["train", *pictures, *small, *begun]) == 0
    assert read_model_header(tmp_path / "begun" / "model.safetensors").widths == (12, 8)


def test_stage_entropy_and_its_flags(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, base = tmp_path / "run", tmp_path / "base"
    train: list[str | Path] = ["--train_glob", place / "train", "--device", "cpu"]
    train += ["--last_step", "2"]
    small = ["--switch_list", "12", "8", "--patchsize", "32", "--batchsize", "2"]
    assert call(["train", *train, *small, "--checkpoint_dir", base, "--no-warm-start"]) == 0
    entropy = ["train", *train, "--checkpoint_dir", run, "--stage", "entropy"]
    entropy += ["--init_from", base]
    message = error_line(capsys, [*entropy, "--patchsize", "32"])
    assert "--patchsize is not for --stage entropy" in message
    message = error_line(capsys, [*entropy, "--lmbda", "3", "2"])
    assert "--lmbda is not for --stage entropy" in message
    message = error_line(capsys, ["train", *train, "--checkpoint_dir", run, "--places", "9"])
    assert "--places are for --stage entropy" in message
    assert not run.exists()
    assert call([*entropy, "--places", "16", "--switch_list", "8"]) == 0
    assert context_networks(read_model(run)).keys() == {8}
    assert "fitting converts" in capsys.readouterr().err

    # the run has its stage and settings
    more: list[str | Path] = [
        "train",
        "--train_glob",
        place / "train",
        "--checkpoint_dir",
        run,
        "--device",
        "cpu",
    ]
    assert call([*more, "--last-step", "3"]) == 0
    assert "resuming at step 2 of 3" in capsys.readouterr().err
    assert read_model(run).info.training["entropy"]["places"] == 16
    message = error_line(capsys, [*more, "--stage", "all"])
    assert "begun with stage entropy" in message and "another --checkpoint_dir" in message


def test_help_tells_the_defaults_of_stage_entropy(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--stage {all,decoder,entropy}" in text
    assert "(default: 1000000) (stage entropy: 12000)" in text
    assert "(default: 0.0003) (stage entropy: 0.008)" in text
    assert "(default: entropy)" not in text  # --stage has one default


def table_rows(out: str) -> list[tuple[str, int]]:
    """Return model and width of each line of the table."""
    lines = (line.split() for line in out.splitlines())
    return [(line[0], int(line[1])) for line in lines if len(line) > 5 and line[1].isdigit()]


@pytest.fixture
def training(place: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start a process that trains for long in `tmp_path/run`."""
    argv = [
        "train", "--checkpoint_dir", tmp_path / "run", "--train_glob", place / "train",
        "--switch_list", "12", "8", "--patchsize", "32", "--batchsize", "2", "--log_every", "1",
        "--last_step", "100000", "--device", "cpu", "--no-warm-start", "--compile", "off",
        "--cache_gb", "0",
    ]  # fmt: skip
    running = subprocess.Popen(
        [sys.executable, "-m", "slimcae", *map(str, argv)],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield running
    running.kill()
    running.communicate()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("whole_group", [False, True])
def test_a_stopped_training_saves_and_says_so(
    training: "subprocess.Popen[str]", tmp_path: Path, whole_group: bool
) -> None:
    """The signal also reaches the workers that decode images (systemd, Slurm, docker)."""
    log = tmp_path / "run" / "log.jsonl"
    wait_until(
        lambda: training.poll() is not None or (log.exists() and '"step": 2' in log.read_text())
    )
    (os.killpg if whole_group else os.kill)(training.pid, signal.SIGTERM)
    _, err = training.communicate(timeout=HANG)
    assert training.returncode == 128 + signal.SIGTERM
    last = err.splitlines()[-1]
    assert last.startswith("slimcae: stopped by SIGTERM: ")
    assert str(tmp_path / "run") in last and "same command" in last
    step = read_model(tmp_path / "run" / "model.safetensors").info.training["step"]
    assert isinstance(step, int) and step >= 2
