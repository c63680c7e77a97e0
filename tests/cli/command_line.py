"""Helpers for command-line tests: run a command in this process, and make tiny files for it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from conftest import HANG, smooth_pixels
from optional_torch import SlimCAE, made_or_saved, to_model, torch
from slimcae.cli import main
from slimcae.model.architecture import slimcae
from slimcae.model.config import ModelInfo, SlimCAEConfig
from slimcae.model.file import write_model
from slimcae.model.model import Model

ROOT = Path(__file__).parents[2]
WIDTHS = (12, 8)
LMBDA = (2048.0, 1024.0)
ARCHITECTURE = slimcae(SlimCAEConfig(WIDTHS))


def save_tiny_model(path: Path, *, seed: int = 0, widths: tuple[int, ...] = WIDTHS) -> Path:
    name = "-".join(map(str, (*widths, seed)))
    write_model(path, made_or_saved(name, lambda: tiny_model(seed, widths)))
    return path


def tiny_model(seed: int, widths: tuple[int, ...]) -> Model:
    torch.manual_seed(seed)
    lmbda = tuple(2048.0 / 2**k for k in range(len(widths)))
    return to_model(SlimCAE(SlimCAEConfig(widths)), ModelInfo("tiny", "1", lmbda))


def save_photo(path: Path, size: tuple[int, int] = (40, 56), seed: int = 0) -> Path:
    """Save a picture of `size` (height, width)."""
    Image.fromarray(smooth_pixels(*size, seed)).save(path)
    return path


def call(argv: Sequence[str | Path]) -> int:
    return main([str(word) for word in argv])


def error_line(
    capsys: pytest.CaptureFixture[str], argv: Sequence[str | Path], *, code: int = 1
) -> str:
    """Run a command that must fail with exit code 1, and return its message."""
    assert call(argv) == code
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line]
    errors = [line for line in lines if line.startswith("slimcae: error: ")]
    assert len(errors) == 1, err
    assert lines[-1] == errors[0]
    assert all(line.startswith("slimcae: ") for line in lines), err
    return errors[0].removeprefix("slimcae: error: ")


def process(argv: Sequence[str | Path], **settings: object) -> "subprocess.CompletedProcess[bytes]":
    """Run `python -m slimcae` as a separate process."""
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "slimcae", *map(str, argv)],
        env=environment(),
        capture_output=True,
        timeout=HANG,
        **settings,
    )


def environment() -> dict[str, str]:
    """Return the environment of a process that finds the package and uses one thread."""
    return os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}


def tree(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files in a folder, to compare before and after."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
