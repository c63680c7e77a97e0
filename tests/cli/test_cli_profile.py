"""Test slimcae profile: the table, and the path of the calibration file."""

import json
import logging
import sys
from pathlib import Path

import pytest
from command_line import ARCHITECTURE, WIDTHS, call, error_line, save_tiny_model
from PIL import Image

from slimcae import profiling
from slimcae.cli.profile import _Lines
from slimcae.codec import Codec
from slimcae.model.cost import Profile, Times, read_profile
from slimcae.profiling import Complexity, PeakMemory, Stages, peak_memory
from slimcae.profiling.calibration import Track

PROFILE = Profile(
    model="tiny@1",
    runtime="onnxruntime 1.32.0",
    device="cpu",
    precision="float32",
    threads=1,
    machine="a processor",
    date="2025-01-02T03:04:05+00:00",
    encode={12: {"context": Times(10, 50)}, 8: {"context": Times(5, 25)}},
    decode={12: {"context": Times(100, 250)}, 8: {"context": Times(50, 0)}},
)
ROWS = [
    Complexity(
        point=width,
        width=width,
        lmbda=None,
        effort=2,
        entropy_model="context",
        pixels=768 * 512,
        parameters=ARCHITECTURE.parameters(width),
        encoder_macs=ARCHITECTURE.encoder_macs(width),
        decoder_macs=ARCHITECTURE.decoder_macs(width),
        memory=peaks,
        decoder_estimate=bound,
        encode=Stages(0.1, 0.06, 0.025),
        decode=Stages(0.2, 0.15, 0.02),
    )
    for width, peaks, bound in (
        (12, PeakMemory(21_000_000, 32_000_000), 50_000_000),
        (8, None, 40_000_000),
    )
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    return tmp_path / "slimcae" / "profile.json"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make the measurements return `PROFILE` and `ROWS` at once; return their arguments."""
    repeats: list[int] = []

    def measure(codec: Codec, count: int, track: Track) -> Profile:
        assert codec.widths == WIDTHS
        repeats.append(count)
        return PROFILE

    def complexity(codec: Codec, model: Path, count: int, track: Track) -> list[Complexity]:
        assert codec.widths == WIDTHS and model.is_file()
        repeats.append(count)
        return ROWS

    monkeypatch.setattr(profiling, "measure", measure)
    monkeypatch.setattr(profiling, "complexity", complexity)
    return repeats


def test_a_table_and_the_profile_of_this_machine(
    model: Path, cache: Path, measured: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["profile", "--model", model, "--repeats", "5"]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines()[-1] == f"slimcae: profile written: {cache}"
    assert read_profile() == read_profile(cache) == PROFILE
    assert measured == [5, 5]
    lines = out.splitlines()
    assert (
        lines[0] == "tiny@1 on a processor; onnxruntime 1.32.0, threads: 1, float32; 768x512 pixels"
    )
    wide, narrow = (line.split() for line in lines[-2:])
    macs = f"{ARCHITECTURE.decoder_macs(12) / 1000:.2f}"
    assert wide == [
        *("12", f"{ARCHITECTURE.parameters(12):,}", macs, "21", "32", "50"),  # MB
        *("100.0", "60.0", "25.0", "15.0"),  # encode: all, network, coder, rest
        *("200.0", "150.0", "20.0", "30.0"),
        *("3.9", "2.0"),  # megapixels per second of 768 * 512 = 393216 pixels
    ]
    assert narrow[3:6] == ["–", "–", "40"]
    assert max(map(len, lines)) <= 100
    headings = lines[-3]
    assert headings.split()[:2] == ["width", "parameters"]
    assert call(["profile", "--model", model, "--quiet"]) == 0  # again, without asking
    assert capsys.readouterr().err == ""


def test_the_same_as_json_and_to_another_place(
    model: Path, cache: Path, measured: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    place = cache.parents[1] / "phone.json"
    assert call(["profile", "--json", "-m", model, "-o", place, "--quiet"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert read_profile(place) == PROFILE
    assert not cache.exists()
    assert facts["file"] == str(place)
    assert (facts["model"], facts["threads"], facts["machine"]) == ("tiny@1", 1, "a processor")
    assert (facts["columns"], facts["rows"]) == (768, 512)
    assert facts["widths"] == [row.to_dict() for row in ROWS]


def test_the_plot_is_a_picture_and_replaces_nothing_unasked(
    model: Path, cache: Path, measured: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    place = cache.parents[1] / "costs.png"
    argv: list[str | Path] = ["profile", "-m", model, "--plot", place]
    assert call([*argv, "--quiet"]) == 0
    capsys.readouterr()
    with Image.open(place) as image:
        assert image.format == "PNG" and image.width > 500
    assert "costs.png exists: add -y" in error_line(capsys, argv)
    assert len(measured) == 2  # it was not measured again
    assert call([*argv, "-y"]) == 0
    capsys.readouterr()
    nowhere = cache.parents[1] / "absent" / "x.png"
    assert "absent" in error_line(capsys, ["profile", "-m", model, "--plot", nowhere])


def test_an_existing_file_is_kept_without_y(
    model: Path, cache: Path, measured: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    place = cache.parents[1] / "phone.json"
    place.write_text("mine")
    argv: list[str | Path] = ["profile", "-m", model, "-o", place]
    assert "phone.json exists: add -y" in error_line(capsys, argv)
    assert (place.read_text(), measured) == ("mine", [])
    assert call([*argv, "-y"]) == 0
    assert read_profile(place) == PROFILE


def test_what_cannot_be_is_refused_before_anything_is_measured(
    model: Path,
    cache: Path,
    measured: list[int],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert "--repeats 0" in error_line(capsys, ["profile", "-m", model, "--repeats", "0"])
    assert "measuring" not in caplog.text
    assert measured == []
    assert "no model nowhere" in error_line(capsys, ["profile", "-m", "nowhere"])
    assert not cache.exists()


def test_a_place_that_cannot_be_written_is_named(
    model: Path, cache: Path, measured: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    (cache.parents[1] / "taken").touch()
    place = cache.parents[1] / "taken" / "p.json"
    assert f"{place} cannot be written" in error_line(capsys, ["profile", "-m", model, "-o", place])
    assert measured == []


def test_real_times(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("slimcae.profiling.memory.RUNS", 1)
    # separate processes for one width only, since each imports torch
    monkeypatch.setattr(
        "slimcae.profiling.table.peak_memory",
        lambda *args, **options: peak_memory(*args, **options) if args[2] == WIDTHS[-1] else None,
    )
    assert call(["profile", "--model", model, "--repeats", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    for row in facts["widths"]:
        assert read_profile(cache).decode_ms(row["width"], row["entropy_model"], 768 * 512) > 0
        for way in ("encode", "decode"):
            assert 0 < row[f"{way}_coder_ms"] + row[f"{way}_network_ms"] < row[f"{way}_ms"]
            assert min(row[f"{way}_coder_ms"], row[f"{way}_network_ms"]) > 0
    if sys.platform == "linux":
        assert 1_000_000 < facts["widths"][-1]["decode_peak_bytes"] < 200_000_000


def test_progress_is_a_line_now_and_then_without_a_terminal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "slimcae")
    seconds = iter([0, 0, 4, 8, 12, 16, 20, 24])
    track = _Lines(lambda: next(seconds))
    assert list(track("abcdefg", "times")) == list("abcdefg")
    assert caplog.messages == [
        "times: 3 of 7, about 16 s left",
        "times: 6 of 7, about 4 s left",
    ]


@pytest.mark.parametrize(
    ("words", "terminal", "shown"),
    [([], True, True), ([], False, False), (["--quiet"], True, False)],
)
def test_a_bar_on_a_terminal(
    model: Path,
    cache: Path,
    words: list[str],
    terminal: bool,
    shown: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measure(codec: Codec, count: int, track: Track) -> Profile:
        assert list(track([1, 2, 3], "times")) == [1, 2, 3]
        return PROFILE

    monkeypatch.setattr(profiling, "measure", measure)
    monkeypatch.setattr(profiling, "complexity", lambda *_, **__: ROWS)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert call(["profile", "--model", model, *words]) == 0
    assert ("times:   0%" in capsys.readouterr().err) == shown
