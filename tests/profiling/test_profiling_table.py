"""Test the complexity table: medians of rounds, memory of real processes, and its plot."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import ARCHITECTURE, save_tiny_model
from PIL import Image

from slimcae.codec import load
from slimcae.container import read_header
from slimcae.errors import ConfigError
from slimcae.model.cost import decoder_memory
from slimcae.plots import style
from slimcae.plots.profile import plot_complexity
from slimcae.profiling import Complexity, PeakMemory, Stages, complexity, memory, peak_memory, table

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "model.safetensors")


def row(width: int, **changes: Any) -> Complexity:
    settings: dict[str, Any] = {
        "point": width,
        "width": width,
        "lmbda": None,
        "effort": 2,
        "entropy_model": "context",
        "pixels": 100_000,
        "parameters": 1000 * width,
        "encoder_macs": 10.0 * width,
        "decoder_macs": 20.0 * width,
        "memory": PeakMemory(3_000_000, 4_000_000),
        "decoder_estimate": 5_000_000,
        "encode": Stages(0.05, 0.03, 0.01),
        "decode": Stages(0.1, 0.07, 0.02),
    }
    return Complexity(**settings | changes)


def test_the_median_round_counts(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {12: [9.0, 1.0, 2.0, 30.0], 8: [9.0, 6.0, 5.0, 4.0]}  # the first is a warm-up

    def stage_seconds(_codec: Any, pixels: Any, width: int, effort: int) -> Any:
        assert effort == 2
        assert pixels.shape == (32, 48, 3)
        seconds = given[width].pop(0)
        return Stages(seconds, seconds / 2, 0.25), Stages(2 * seconds, 0.5, seconds / 4)

    monkeypatch.setattr(table, "stage_seconds", stage_seconds)
    monkeypatch.setattr(table, "peak_memory", lambda *_, **__: None)
    codec = load(model)
    wide, narrow = complexity(codec, model, 3, (32, 48))
    assert (wide.width, narrow.width) == (12, 8)
    assert wide.entropy_model == "factorized"
    assert wide.encode == Stages(2.0, 1.0, 0.25)
    assert narrow.decode == Stages(10.0, 0.5, 1.25)
    assert wide.parameters == ARCHITECTURE.parameters(12)
    assert wide.decoder_macs == ARCHITECTURE.decoder_macs(12)
    assert (wide.pixels, wide.memory) == (32 * 48, None)
    picture = Image.fromarray(np.zeros((32, 48, 3), np.uint8))
    assert narrow.decoder_estimate == decoder_memory(
        ARCHITECTURE, read_header(codec.compress(picture, 8))
    )
    with pytest.raises(ConfigError, match="repeats 0"):
        complexity(codec, model, 0)


def test_json_has_units_that_people_use() -> None:
    facts = row(8).to_dict()
    assert facts["encode_ms"] == 50 and facts["encode_network_ms"] == 30
    assert facts["encode_coder_ms"] == 10 and facts["encode_rest_ms"] == pytest.approx(10)
    assert facts["decode_rest_ms"] == pytest.approx(10)
    assert facts["decode_megapixels_per_second"] == pytest.approx(1)
    assert (facts["encode_peak_bytes"], facts["decode_peak_bytes"]) == (3_000_000, 4_000_000)
    assert row(8, memory=None).to_dict()["decode_peak_bytes"] is None
    json.dumps(facts)


@linux
def test_memory_of_a_process_is_about_the_arrays_that_it_fills(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture sixteen times as large takes more; both take at least the decoded pixels."""
    monkeypatch.setattr(memory, "RUNS", 1)
    large = peak_memory(model, np.zeros((768, 1024, 3), np.uint8), 12, precision="float32")
    assert large is not None
    for taken in (large.encode, large.decode):
        assert 2_300_000 < taken < 400_000_000
    small = peak_memory(model, np.zeros((64, 64, 3), np.uint8), 12, precision="float32")
    assert small is not None
    assert small.decode < large.decode / 4


@linux
def test_a_process_that_fails_says_why(model: Path) -> None:
    with pytest.raises(ConfigError, match=r"measures memory failed: .*no width 5"):
        peak_memory(model, np.zeros((32, 32, 3), np.uint8), 5, precision="float32")


def test_no_memory_where_the_system_does_not_tell(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "absent")
    assert peak_memory(model, np.zeros((32, 32, 3), np.uint8), 12, precision="float32") is None


def test_the_plot_shows_bars_as_long_as_the_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "DOTS_PER_INCH", 60)
    figures: list[Any] = []

    def save(figure: Any, path: Path) -> None:
        figures.append(figure)
        style.save(figure, path)

    monkeypatch.setattr("slimcae.plots.profile.save", save)
    rows = [row(8).to_dict(), row(12, decode=Stages(0.2, 0.25, 0.02)).to_dict()]
    plot_complexity(tmp_path / "x.png", rows, "title")
    with Image.open(tmp_path / "x.png") as image:
        assert image.format == "PNG"
    encode, decode, peaks = figures[0].axes
    bars = [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in decode.patches]
    # widest first; network, coder, rest of both widths, and none for parallel parts
    assert [round(length, 6) for _, length in bars] == [250, 70, 20, 20, 0, 10]
    assert sorted({round(place) for place, _ in bars}) == [0, 1]
    assert [text.get_text() for text in encode.texts] == ["50", "50"]
    assert {round(bar.get_width(), 6) for bar in peaks.patches} == {3, 4}
    assert list(peaks.lines[0].get_xdata()) == [5, 5]
    plot_complexity(tmp_path / "y.png", [row(8, memory=None).to_dict()], "title")
    assert len(figures[1].axes) == 2
