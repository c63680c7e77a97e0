"""Test that a training state survives packing, and that training continues from it."""

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from slimcae.training.run import Start, train
from slimcae.training.run_folder import load_state
from slimcae.training.settings import TrainSettings

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "carry_state.py"))
SETTINGS = TrainSettings(patchsize=32, batchsize=2, last_step=3, log_every=1, cache_gb=1.0)


@pytest.mark.parametrize(
    ("optimizer", "part", "moment"), [("adam", "optimizer", "exp_avg"), ("soap", "soap", "mean")]
)
def test_a_state_goes_through_pieces(
    tmp_path: Path,
    picture_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimizer: Any,
    part: str,
    moment: str,
) -> None:
    settings = replace(SETTINGS, optimizer=optimizer)
    paths = sorted(picture_folder.iterdir())
    start = Start(widths=(8, 4), lmbda=(100.0, 50.0), warm_start=False)
    train(tmp_path / "first", paths, start, settings, "cpu")
    monkeypatch.setitem(TOOL["pack"].__globals__, "PIECE_BYTES", 60_000)
    pieces = TOOL["pack"](tmp_path / "first" / "state.pt", tmp_path / "pieces")
    assert len(pieces) > 2
    assert all(piece.stat().st_size <= 60_000 for piece in pieces)
    TOOL["unpack"](tmp_path / "pieces", tmp_path / "second" / "state.pt")
    first, second = (load_state(tmp_path / name / "state.pt") for name in ("first", "second"))
    for weights in ("model", "average"):
        for name, tensor in first["trainer"][weights].items():
            assert torch.equal(tensor, second["trainer"][weights][name])
    for key, moments in first["trainer"][part]["state"].items():
        carried = second["trainer"][part]["state"][key]
        assert carried[moment].dtype == torch.float32
        torch.testing.assert_close(carried[moment], moments[moment], rtol=2**-8, atol=0)
    longer = replace(settings, last_step=5)
    assert train(tmp_path / "second", paths, Start(), longer, "cpu") is None
    assert load_state(tmp_path / "second" / "state.pt")["trainer"]["step"] == 5
