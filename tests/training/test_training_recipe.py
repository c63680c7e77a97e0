"""Test that one command runs the recipe from start to end, and also continues it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import slimcae
from conftest import HANG, wait_until
from slimcae.model.file import read_model

ROOT = Path(slimcae.__file__).parents[2]
RECIPE = Path(__file__).parents[2] / "recipes" / "train.sh"
LARGE = 1_000_000
"""Steps that do not end by themselves."""


@contextmanager
def started(pictures: Path, runs: Path, steps: int) -> Iterator[subprocess.Popen[str]]:
    """Run the recipe in its own processes, none of which remains."""
    variables = {
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT / "src"),
        "OMP_NUM_THREADS": "1",
        "LMBDA": "100 100",
        "STEPS": str(steps),
        "TRIES": "1",
        "TRY_STEPS": "2",
        "TUNED_STEPS": "3",
        "DECODER_STEPS": "4",
        "ENTROPY_STEPS": "5",
        "ENTROPY": "--places 32 --device cpu --log_every 1",
        "CROP": "--patchsize 32 --batchsize 2",
        "MORE": "--switch_list 8 4 --device cpu --compile off --log_every 1",
    }
    with subprocess.Popen(
        [str(RECIPE), str(pictures), str(pictures), str(runs)],
        env=os.environ | variables,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def steps_of(run: Path) -> list[int]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if "loss" in line]


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_the_recipe_is_stopped_and_goes_on_to_its_end(tmp_path: Path, picture_folder: Path) -> None:
    runs = tmp_path / "runs"
    with started(picture_folder, runs, LARGE) as process:
        log = runs / "all" / "log.jsonl"
        wait_until(
            lambda: (
                process.poll() is not None or (log.exists() and log.read_text().count("loss") > 2)
            )
        )
        os.killpg(process.pid, signal.SIGTERM)  # as `timeout` does
        _, said = process.communicate(timeout=HANG)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "the state is saved" in said
    stopped = steps_of(runs / "all")[-1]
    with started(picture_folder, runs, stopped + 2) as process:
        _, said = process.communicate(timeout=HANG)
    assert process.returncode == 0, said
    assert steps_of(runs / "all") == list(range(1, stopped + 3))
    stages = [line.partition("recipe: ")[2] for line in said.splitlines() if "recipe: " in line]
    assert stages == ["all", "lambda", "tuned", "decoder", "entropy", "fit"]
    fitted = read_model(runs / "fitted.safetensors")
    assert fitted.info.lmbda == (100.0, 80.0)  # one try, κ = 0.8
    assert fitted.info.quality is not None
    assert fitted.info.training["stage"] == "decoder"
    assert fitted.info.training["entropy"]["step"] == 2 * 5
    assert set(fitted.info.training["fit"]["rounding"]) == {"8", "4"}
    tuned = read_model(runs / "tuned")
    assert tuned.info.training["learning_rate"] == pytest.approx(5e-4 / 3, rel=1e-4)
    with started(picture_folder, runs, LARGE) as process:  # finished stages are not repeated
        _, said = process.communicate(timeout=HANG)
    assert (process.returncode, said) == (0, "")
