"""A training state survives the way through pieces; training goes on from what comes out."""

import runpy
from pathlib import Path

import pytest
import torch

from slimcae.training.run import Start, train
from slimcae.training.run_folder import load_state
from slimcae.training.settings import TrainSettings

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "carry_state.py"))
SETTINGS = TrainSettings(patchsize=32, batchsize=2, last_step=3, log_every=1, cache_gb=1.0)


def test_a_state_goes_through_pieces(
    tmp_path: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(picture_folder.iterdir())
    start = Start(widths=(8, 4), lmbda=(100.0, 50.0), warm_start=False)
    train(tmp_path / "first", paths, start, SETTINGS, "cpu")
    monkeypatch.setitem(TOOL["pack"].__globals__, "PIECE_BYTES", 20_000)
    pieces = TOOL["pack"](tmp_path / "first" / "state.pt", tmp_path / "pieces")
    assert len(pieces) > 2
    assert all(piece.stat().st_size <= 20_000 for piece in pieces)
    TOOL["unpack"](tmp_path / "pieces", tmp_path / "second" / "state.pt")
    first, second = (load_state(tmp_path / name / "state.pt") for name in ("first", "second"))
    for part in ("model", "average"):
        for name, tensor in first["trainer"][part].items():
            assert torch.equal(tensor, second["trainer"][part][name])
    for key, moments in first["trainer"]["optimizer"]["state"].items():
        carried = second["trainer"]["optimizer"]["state"][key]
        assert carried["exp_avg"].dtype == torch.float32
        torch.testing.assert_close(carried["exp_avg"], moments["exp_avg"], rtol=2**-8, atol=0)
    longer = TrainSettings(patchsize=32, batchsize=2, last_step=5, log_every=1, cache_gb=1.0)
    assert train(tmp_path / "second", paths, Start(), longer, "cpu") is None
    assert load_state(tmp_path / "second" / "state.pt")["trainer"]["step"] == 5
