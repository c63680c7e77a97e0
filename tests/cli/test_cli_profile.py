"""slimcae profile: what the table says, and where the calibration goes."""

import json
from pathlib import Path

import pytest
from command_line import WIDTHS, call, error_line, save_tiny_model

from slimcae import profiling
from slimcae.codec import Codec
from slimcae.cost import Profile, Times, decoder_macs, parameters, read_profile

PROFILE = Profile(
    model="tiny@1",
    device="cpu",
    precision="float32",
    threads=1,
    machine="a processor",
    date="2025-01-02T03:04:05+00:00",
    encode={12: Times(10, 50), 8: Times(5, 25)},
    decode={12: Times(100, 250), 8: Times(50, 0)},
)


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
    """The measurement gives `PROFILE` at once; what it was called with."""
    repeats: list[int] = []

    def measure(codec: Codec, count: int) -> Profile:
        assert codec.widths == WIDTHS
        repeats.append(count)
        return PROFILE

    monkeypatch.setattr(profiling, "measure", measure)
    return repeats


def test_a_table_and_the_profile_of_this_machine(
    model: Path, cache: Path, measured: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["profile", "--model", model, "--repeats", "5"]) == 0
    out, err = capsys.readouterr()
    assert err == f"slimcae: profile written: {cache}\n"
    assert read_profile() == read_profile(cache) == PROFILE
    assert measured == [5]
    lines = out.splitlines()
    assert lines[0] == "tiny@1 on a processor; threads: 1, float32"
    # 768 * 512 = 393216 pixels
    macs = f"{decoder_macs(12) / 1000:.2f}"
    row = ["12", f"{parameters(12):,}", macs, macs, "29.7", "198.3", "1.98"]
    assert lines[-2].split() == row
    assert lines[-1].split()[-3:] == ["14.8", "50.0", "7.86"]
    assert max(map(len, lines)) <= 100
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
    wide, narrow = facts["widths"]
    assert (wide["width"], narrow["width"]) == (12, 8)
    assert wide["decode_ms"] == pytest.approx(100 + 250 * 0.393216)
    assert wide["encode_ms"] == pytest.approx(10 + 50 * 0.393216)
    assert wide["megapixels_per_second"] == pytest.approx(393.216 / wide["decode_ms"])
    assert narrow["decoder_kmac"] == decoder_macs(8) / 1000


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


def test_what_cannot_be_is_refused(
    model: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--repeats 0" in error_line(capsys, ["profile", "-m", model, "--repeats", "0"])
    assert "no model nowhere" in error_line(capsys, ["profile", "-m", "nowhere"])
    assert not cache.exists()


def test_a_place_that_cannot_be_written_is_named(
    model: Path, cache: Path, measured: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    (cache.parents[1] / "taken").touch()
    place = cache.parents[1] / "taken" / "p.json"
    assert f"{place} cannot be written" in error_line(capsys, ["profile", "-m", model, "-o", place])


def test_real_times(model: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["profile", "--model", model, "--repeats", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3 + len(WIDTHS)
    for width in WIDTHS:
        assert read_profile(cache).decode_ms(width, 768 * 512) > 1
