import csv
import os
from dataclasses import replace
from pathlib import Path

import pytest
from fake_codec import QuantisingCodec, make_image, make_points

from slimcae.errors import ConfigError
from slimcae.evaluation import report
from slimcae.evaluation.bd_rate import bd_psnr, bd_rate
from slimcae.evaluation.report import (
    evaluate_models,
    format_bd_rate,
    format_report,
    format_table,
    resolve_prefix,
)
from slimcae.evaluation.results import read_json


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for seed, path in enumerate(paths):
        make_image(path, 24, 30, seed=seed)
    return paths


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take a second, so only one test each uses them for one model and for two."""
    monkeypatch.setattr(report, "plot_all", lambda *_: [])


def test_one_model(tmp_path: Path, images: list[Path]) -> None:
    prefix = tmp_path / "new" / "folders" / "run"
    ((wide, narrow),) = evaluate_models([("fake", QuantisingCodec())], images, prefix)
    assert (wide.setting, narrow.setting) == (8, 4)
    assert wide.psnr > narrow.psnr
    names = {path.name for path in prefix.parent.iterdir()}
    plots = ["psnr", "mse", "bpp", "msssim", "msssim_db", "rd_psnr", "rd_msssim_db"]
    plots += ["macs", "time"]
    assert names == {"run.csv", "run.json", *(f"run_{stem}.png" for stem in plots)}
    with (prefix.parent / "run.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["psnr"]) for row in rows] == [wide.psnr, narrow.psnr]
    results = read_json(prefix.parent / "run.json")
    assert results.name == "fake"
    assert results.curve() == [(narrow.bpp, narrow.psnr), (wide.bpp, wide.psnr)]


def test_two_models(tmp_path: Path, images: list[Path]) -> None:
    models = [("old", QuantisingCodec()), ("new model", QuantisingCodec(shift=3))]
    old, new = evaluate_models(models, images, tmp_path / "out" / "run")
    assert [point.codec for point in old + new] == ["old"] * 2 + ["new model"] * 2
    assert new[0].psnr < old[0].psnr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"run.csv", "run_old.json", "run_new_model.json", "run_psnr_vs_width.png"} <= names
    assert len(names) == 3 + 9
    assert read_json(tmp_path / "out" / "run_new_model.json").name == "new model"
    assert len((tmp_path / "out" / "run.csv").read_text(encoding="utf-8").splitlines()) == 5


@pytest.mark.parametrize("names", [("same", "same"), ("a b", "a/b"), ("Model", "model")])
@pytest.mark.usefixtures("no_plots")
def test_two_models_of_one_name_are_told_apart(
    tmp_path: Path, images: list[Path], names: tuple[str, str]
) -> None:
    models = [(name, QuantisingCodec()) for name in names]
    first, second = evaluate_models(models, images[:1], tmp_path / "out" / "run")
    assert first[0].codec == names[0]
    assert second[0].codec == f"{names[1]}-2"
    documents = sorted(path.name.casefold() for path in (tmp_path / "out").glob("*.json"))
    assert len(set(documents)) == 2


@pytest.mark.usefixtures("no_plots")
def test_many_models_are_told_apart(tmp_path: Path, images: list[Path]) -> None:
    names = ["m", "n", "M", "m-2", "m"]
    models = [(name, QuantisingCodec()) for name in names]
    curves = evaluate_models(models, images[:1], tmp_path / "out" / "run")
    assert [points[0].codec for points in curves] == ["m", "n", "M-2", "m-2-2", "m-3"]
    assert len({path.name.casefold() for path in (tmp_path / "out").glob("*.json")}) == 5


def test_no_model_is_an_error(tmp_path: Path, images: list[Path]) -> None:
    with pytest.raises(ConfigError, match="no models to evaluate"):
        evaluate_models([], images, tmp_path / "out" / "run")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_plots")
def test_what_a_point_costs_is_the_model_s_own_at_its_width(
    tmp_path: Path, images: list[Path]
) -> None:
    ((wide, narrow),) = evaluate_models([("m", QuantisingCodec())], images, tmp_path / "run")
    assert (wide.encoder_macs, wide.decoder_macs) == (24, 16)
    assert (narrow.encoder_macs, narrow.decoder_macs) == (12, 8)
    lists = read_json(tmp_path / "run.json").lists
    assert lists["decoder-macs-per-pixel"] == (8, 16)


def test_an_impossible_place_is_known_before_anything_is_coded(
    tmp_path: Path, images: list[Path]
) -> None:
    (tmp_path / "file").write_text("here first")
    codec = QuantisingCodec()
    with pytest.raises(ConfigError, match="cannot write a report to") as caught:
        evaluate_models([("m", codec)], images, tmp_path / "file" / "run")
    assert "\n" not in str(caught.value)
    assert not codec.calls
    assert (tmp_path / "file").read_text() == "here first"


def test_a_folder_without_permission_is_known_early(
    tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # checked instead of tried: the tests may run as root, which permissions do not stop
    folder = tmp_path / "locked"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder or mode != os.W_OK)
    codec = QuantisingCodec()
    with pytest.raises(ConfigError, match="not writable"):
        evaluate_models([("m", codec)], images, folder / "run")
    assert not codec.calls


@pytest.mark.usefixtures("no_plots")
def test_failing_to_write_afterwards_is_one_line_and_loses_nothing(
    tmp_path: Path, images: list[Path]
) -> None:
    (tmp_path / "out" / "run.csv").mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot write a report to"):
        evaluate_models([("m", QuantisingCodec())], images[:1], tmp_path / "out" / "run")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.csv"]


def test_prefixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    assert resolve_prefix("results/run") == Path("results/run")
    assert resolve_prefix("run_0.5") == Path("run_0.5")
    assert resolve_prefix("new/folder/") == Path("new/folder/report")
    assert resolve_prefix("folder") == Path("folder/report")
    assert resolve_prefix(Path("folder")) == Path("folder/report")
    assert resolve_prefix(".") == resolve_prefix("") == Path("report")


@pytest.mark.usefixtures("no_plots")
def test_a_dot_in_the_prefix_is_kept(tmp_path: Path, images: list[Path]) -> None:
    evaluate_models([("m", QuantisingCodec())], images[:1], tmp_path / "out" / "run_0.5")
    assert (tmp_path / "out" / "run_0.5.csv").exists()


def test_table_is_aligned() -> None:
    points = make_points("model") + make_points("a longer name", rate=10)
    points[1] = replace(points[1], ms_ssim=None, ms_ssim_db=None)
    lines = format_table(points).splitlines()
    assert len(lines) == 11
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == [
        "model", "192", "1920", "1.0000", "0.9900", "0.000224", "36.500", "0.99000", "20.000",
        "12.5", "25.0",
    ]  # fmt: skip
    assert lines[2].split()[7:9] == ["–", "–"]
    assert lines[5].split()[:4] == ["model", "48", "–", "0.1250"]


def test_bd_rate_of_the_second_model_against_the_first() -> None:
    first, second = make_points("first"), make_points("second", rate=0.5)
    heading, psnr, ms_ssim = format_bd_rate(first, second).splitlines()
    assert heading.startswith("second against first")
    assert "PCHIP" in heading
    assert "PSNR: BD-rate -50.00 % over 28.00–36.50 dB" in psnr
    assert "MS-SSIM: BD-rate -50.00 % over 10.00–20.00 dB" in ms_ssim
    gain = bd_psnr(
        [(p.bpp, p.psnr) for p in first],
        [(p.bpp, p.psnr) for p in second],
    )
    assert gain is not None
    assert f"gain {gain.value:+.3f} dB over 0.125–0.500 bpp" in psnr


def test_bd_rate_where_there_is_none() -> None:
    first = make_points("first")
    assert "no BD-rate" in format_bd_rate(first, make_points("second", gain=20)).splitlines()[1]
    assert "no BD-rate" in format_bd_rate(first, first[:1])
    without = [replace(point, ms_ssim=None, ms_ssim_db=None) for point in first]
    assert "MS-SSIM" not in format_bd_rate(first, without)


def test_bd_rate_counts_the_points_left_out() -> None:
    first, second = make_points("first"), make_points("second", rate=1.1)
    second[2] = replace(second[2], psnr=20.0)
    text = format_bd_rate(first, second)
    expected = bd_rate([(p.bpp, p.psnr) for p in first], [(p.bpp, p.psnr) for p in second])
    assert expected is not None
    assert f"{expected.value:+.2f} %" in text
    assert "dominated or lossless points left out: 1" in text


def test_report_adds_the_deltas_against_the_first_model() -> None:
    first, second = make_points("first"), make_points("second", rate=2)
    assert format_report([first]) == format_table(first)
    text = format_report([first, second])
    assert text.startswith(format_table(first + second))
    assert "+100.00 %" in text
    third = make_points("third", rate=0.5)
    text = format_report([first, second, third])
    assert "second against first" in text and "third against first" in text
    assert "third against second" not in text
