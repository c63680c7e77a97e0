"""Tables, BD-rates, files and plots of a benchmark whose points are known."""

import csv
import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import bjontegaard
import pytest
from fake_contenders import points
from PIL import Image

from slimcae import drawing
from slimcae.bench import plots
from slimcae.bench.plots import colour_of, plot_times
from slimcae.bench.published import NAMES, published
from slimcae.bench.report import bd_rates, format_bd_rates, format_table
from slimcae.bench.writing import to_results, write_report
from slimcae.evaluation.bd_rate import METHOD, rate_at
from slimcae.evaluation.results import read_json


@pytest.fixture(autouse=True)
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every figure that is written, at a low resolution."""
    monkeypatch.setattr(drawing, "DOTS_PER_INCH", 60)
    found: list[Any] = []

    def save(figure: Any, path: Path) -> None:
        found.append(figure)
        drawing.save(figure, path)

    monkeypatch.setattr(plots, "save", save)
    return found


def test_the_table_has_every_point_and_dashes_for_what_is_missing() -> None:
    ours, jpeg = points("SlimCAE"), points("JPEG", rate=2)
    jpeg[0] = replace(jpeg[0], ms_ssim=None, ms_ssim_db=None)
    lines = format_table([ours, jpeg]).splitlines()
    assert lines[1].split() == ["SlimCAE", "width", "1", "0.1250", "28.00", "0.9499", "13.00",
                                "10.0", "20.0"]  # fmt: skip
    assert lines[5] == ""
    assert lines[6].split()[3:] == ["0.2500", "28.00", "–", "–", "10.0", "20.0"]
    assert len({len(line) for line in lines if line}) == 1
    assert lines[0].split() == ["codec", "point", "bpp", "PSNR", "dB", "MS-SSIM", "dB", "encode",
                                "ms", "decode", "ms"]  # fmt: skip


def test_bd_rates_are_those_of_the_bjontegaard_package() -> None:
    ours, jpeg = points("SlimCAE", rate=0.7, gain=0.3), points("JPEG")
    found = bd_rates(to_results(ours, ""), {"JPEG": to_results(jpeg, "")})
    result = found["JPEG"]["psnr-rgb"]
    assert result is not None
    expected = bjontegaard.bd_rate(
        [p.bpp for p in jpeg], [p.psnr for p in jpeg], [p.bpp for p in ours],
        [p.psnr for p in ours], method="pchip", min_overlap=0,
    )  # fmt: skip
    assert result.value == pytest.approx(expected)
    text = format_bd_rates("SlimCAE", found)
    assert METHOD in text
    assert f"JPEG  PSNR {expected:+.1f} % over 28.3–34.0 dB, MS-SSIM" in text


def test_curves_that_do_not_overlap_say_so() -> None:
    far = to_results(points("far", gain=50), "")
    text = format_bd_rates("SlimCAE", bd_rates(to_results(points("SlimCAE"), ""), {"far": far}))
    assert "far  PSNR no overlap, MS-SSIM no overlap" in text


def test_the_rate_at_a_quality_lies_on_the_curve() -> None:
    curve = [(p.bpp, p.psnr) for p in points("x")]  # log rate is linear in PSNR
    assert rate_at(curve, 31.0) == pytest.approx(0.125 * 2**1.5)
    assert rate_at(curve, 28.0) == pytest.approx(0.125)
    assert rate_at(curve, 27.9) is None
    assert rate_at(curve, 34.1) is None
    assert rate_at(curve[:1], 28.0) is None


def test_files_follow_compressais_schema_and_name_settings_and_machine(tmp_path: Path) -> None:
    curves = [points("SlimCAE"), points("AVIF speed 6", rate=0.8)]
    curves[0][3] = replace(curves[0][3], psnr=math.inf)
    text = write_report(
        tmp_path / "k", curves, ["ours 1", "libavif 2"], 1, "2 images; a machine", reference=False
    )
    with (tmp_path / "k.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["codec"] for row in rows] == ["SlimCAE"] * 4 + ["AVIF speed 6"] * 4
    assert float(rows[1]["encode_seconds"]) == 0.02
    document = json.loads((tmp_path / "k_avif-speed-6.json").read_text(encoding="utf-8"))
    assert list(document) == ["name", "description", "results"]
    assert document["description"] == "libavif 2; 2 images; a machine"
    assert document["results"]["bpp"] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert document["results"]["decoding_time"] == [0.02, 0.04, 0.06, 0.08]
    ours = read_json(tmp_path / "k_slimcae.json")
    assert list(ours.lists["psnr-rgb"]) == [28, 30, 32, None]
    assert list(ours.lists["setting"]) == [1, 2, 3, 4]
    for words in ("2 images; a machine", "  AVIF speed 6: libavif 2", "BD-rate of SlimCAE"):
        assert words in text
    with Image.open(tmp_path / "k_rd.png") as image:
        assert image.format == "PNG"
    assert not (tmp_path / "k_time.png").exists()  # no JPEG, no 100 %


def test_references_are_drawn_unless_measured(tmp_path: Path, figures: list[Any]) -> None:
    curves = [points("SlimCAE"), points("JPEG", rate=1.5)]
    text = write_report(tmp_path / "k", curves, ["", ""], 1, "", reference=True)
    assert "VVC (VTM) (published, Kodak) " in text
    assert "JPEG (published" not in text and "WebP (published, Kodak)" in text
    shown = [annotation.get_text() for annotation in figures[0].axes[0].texts]
    assert {"1", "2", "3", "4", "SlimCAE", "JPEG", "BPG (published, Kodak)"} <= set(shown)


def test_names_at_the_right_edge_keep_their_order_and_do_not_touch(
    tmp_path: Path, figures: list[Any]
) -> None:
    curves = [points("SlimCAE"), *(points(f"codec {k}", gain=-k / 100) for k in range(9))]
    write_report(tmp_path / "k", curves, [""] * 10, 1, "", reference=False)
    names = {t.get_text(): t.xy[1] for t in figures[0].axes[0].texts if t.xy[0] == 1.0}
    places = [names[f"codec {k}"] for k in range(9)]
    assert places == sorted(places, reverse=True)  # the better, the higher
    assert min(a - b for a, b in pairwise(places)) > 0.05
    assert all(0 < place <= 1 for name, place in names.items() if not name.isdigit())


def test_times_are_drawn_against_jpegs_rate(tmp_path: Path, figures: list[Any]) -> None:
    ours = to_results(points("SlimCAE", rate=0.6, seconds=0.1), "")
    others = {
        "JPEG": to_results(points("JPEG"), ""),
        "WebP": to_results(points("WebP", rate=0.8, seconds=0.2), ""),
    }
    assert plot_times(tmp_path / "t.png", ours, others, labels=["a", "b", "c", "d"])
    encode, decode = figures[0].axes
    assert encode.get_xscale() == "log"
    own = encode.lines[-1]
    assert own.get_xdata() == pytest.approx([100, 200, 300, 400])
    assert own.get_ydata() == pytest.approx([60] * 4)
    assert decode.lines[-1].get_xdata() == pytest.approx([200, 400, 600, 800])
    jpeg, webp = ((line.get_xdata()[0], line.get_ydata()[0]) for line in encode.lines[1:4:2])
    assert jpeg == pytest.approx((25, 100)) and webp == pytest.approx((500, 80))
    texts = {text.get_text() for text in encode.texts}
    assert texts == {"JPEG", "WebP", "a", "b", "c", "SlimCAE d"}
    assert not plot_times(tmp_path / "u.png", ours, {})
    assert not (tmp_path / "u.png").exists()


def test_pictures_restored_exactly_leave_no_plot_and_no_error(
    tmp_path: Path, figures: list[Any]
) -> None:
    exact: dict[str, Any] = {"psnr": math.inf, "ms_ssim": 1.0, "ms_ssim_db": math.inf, "mse": 0.0}
    curves = [[replace(point, **exact) for point in points(name)] for name in ("SlimCAE", "JPEG")]
    text = write_report(tmp_path / "k", curves, ["", ""], 1, "", reference=True)
    assert "inf" in text and "no overlap" in text
    assert not figures
    write_report(tmp_path / "k", [points("SlimCAE"), curves[1]], ["", ""], 1, "", reference=True)
    assert len(figures) == 1


def test_colours_tell_codecs_apart() -> None:
    names = ["SlimCAE", "JPEG", "JPEG 2000", "JPEG XL effort 3", "WebP", "AVIF speed 6", "BPG"]
    assert len({colour_of(name) for name in names}) == len(names)
    assert colour_of("JPEG XL effort 3") == colour_of("JPEG XL effort 7")


def test_published_curves_come_with_the_package() -> None:
    curves = published()
    assert list(curves) == list(NAMES.values())
    for name, results in curves.items():
        assert len(results.curve()) >= 5, name
    # read off the published tables between two points at 0.25 bits per pixel
    assert rate_at(curves["JPEG"].curve(), 24.68) == pytest.approx(0.25, rel=0.02)
    assert rate_at(curves["VVC (VTM)"].curve(), 31.27) == pytest.approx(0.25, rel=0.02)
