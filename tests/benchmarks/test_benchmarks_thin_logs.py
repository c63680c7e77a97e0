"""Test thinned training logs: means over steps, and minutes over several starts."""

import json
from pathlib import Path

from thin_logs import STEPS, thinned


def line(step: int, seconds: float, bpp: float) -> dict[str, object]:
    return {
        "step": step,
        "seconds": seconds,
        "loss": 2 * bpp,
        "lr": 1e-4,
        "bpp": {"8": bpp},
        "mse": {"8": bpp / 1000},
    }


def test_each_line_is_a_mean_and_clocks_add_up(tmp_path: Path) -> None:
    half = STEPS // 2
    entries = [
        {"event": "start", "step": 0, "seconds": 0.0},
        line(half, 60, 1.0),
        line(STEPS, 120, 2.0),
        line(STEPS + half, 180, 3.0),
        {"event": "start", "step": STEPS + half, "seconds": 0.0},
        line(2 * STEPS, 30, 5.0),
    ]
    text = "\n".join(map(json.dumps, entries)) + "\n"
    (tmp_path / "log.jsonl").write_text(text, encoding="utf-8")
    first, second = thinned(tmp_path)
    assert (first["step"], first["minutes"], first["bpp"]) == (STEPS, 2.0, {"8": 1.5})
    assert (second["step"], second["minutes"], second["bpp"]) == (2 * STEPS, 3.5, {"8": 4.0})
    assert (second["loss"], second["mse"], second["run"]) == (8.0, {"8": 0.004}, tmp_path.name)
