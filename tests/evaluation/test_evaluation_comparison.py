"""Test tables, BD-rates, files and plots of a benchmark with known points."""

import csv
import json
import math
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import bjontegaard
import numpy as np
import pytest
from fake_contenders import points
from PIL import Image

from slimcae.evaluation.bd_rate import METHOD, rate_at
from slimcae.evaluation.comparison import bd_rates, format_bd_rates, format_table
from slimcae.evaluation.figures import draw_times
from slimcae.evaluation.measure import Seen
from slimcae.evaluation.published import NAMES, published, why_not_kodak
from slimcae.evaluation.results import read_json, to_results
from slimcae.evaluation.writing import write_report
from slimcae.plots import bench as plots
from slimcae.plots import style
from slimcae.plots.bench import colour_of, marker_of


@pytest.fixture(autouse=True)
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Write all figures at a low resolution."""
    monkeypatch.setattr(style, "DOTS_PER_INCH", 60)
    found: list[Any] = []

    def save(figure: Any, path: Path) -> None:
        found.append(figure)
        style.save(figure, path)

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
    assert not (tmp_path / "k_time.png").exists()  # without JPEG there is no 100 %


def legend(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_references_are_drawn_and_compared_on_kodak_unless_measured(
    tmp_path: Path, figures: list[Any]
) -> None:
    curves = [points("SlimCAE"), points("JPEG", rate=1.5)]
    text = write_report(tmp_path / "k", curves, ["", ""], 1, "", reference=True, kodak=True)
    assert "VVC (VTM), published " in text and "WebP, published " in text
    assert "JPEG, published" not in text
    assert {"SlimCAE", "JPEG", "WebP", "BPG"} <= set(legend(figures[0]))
    assert "dashed: published curves" in figures[0].get_suptitle()
    assert {t.get_text() for t in figures[0].axes[0].texts} == {"1", "2", "3", "4"}


def test_our_other_curves_are_compared_with_the_first(tmp_path: Path) -> None:
    curves = [points("SlimCAE"), points("SlimCAE effort 3", rate=0.8), points("JPEG")]
    text = write_report(tmp_path / "k", curves, ["", "", ""], 2, "", reference=False)
    # 1 / 0.8 of its bits at every quality
    assert "BD-rate of SlimCAE," in text and "  SlimCAE effort 3  PSNR +25.0 %" in text


def test_other_pictures_get_published_curves_for_orientation_only(
    tmp_path: Path, figures: list[Any]
) -> None:
    curves = [points("SlimCAE"), points("JPEG", rate=1.5)]
    text = write_report(tmp_path / "k", curves, ["", ""], 1, "", reference=True)
    assert "published" not in text and "VVC" not in text and "WebP" not in text
    assert "  JPEG  PSNR" in text
    assert {"SlimCAE", "JPEG", "WebP (on Kodak)", "BPG (on Kodak)"} <= set(legend(figures[0]))


@pytest.mark.parametrize("num_others", [0, 1, 9])
@pytest.mark.parametrize("similarity", [True, False])
def test_the_legend_leaves_the_panels_their_room(
    tmp_path: Path, figures: list[Any], num_others: int, similarity: bool
) -> None:
    curves = [points(name) for name in ["SlimCAE", *(f"codec {k}" for k in range(num_others))]]
    if not similarity:
        curves = [[replace(p, ms_ssim=None, ms_ssim_db=None) for p in c] for c in curves]
    settings = [""] * len(curves)
    write_report(tmp_path / "k", curves, settings, 1, "", reference=True)
    figure = figures[0]
    assert len(figure.axes) == 1 + similarity
    assert len(legend(figure)) == len(set(legend(figure))) >= 4 + num_others
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0
    for axes in figure.axes:
        panel = axes.get_window_extent()
        assert panel.width > 0.8 * figure.bbox.width / len(figure.axes)
        assert panel.height > 0.4 * figure.bbox.height
        assert not panel.overlaps(box)
        for text in axes.texts:  # our widths: above and left of their points, inside the plot
            x, y = axes.transData.transform(text.xy)
            words = text.get_window_extent()
            assert words.x1 < x and words.y0 > y
            assert words.y1 <= panel.y1 and words.x1 <= panel.x1
            assert text.get_path_effects()


def test_times_are_drawn_against_jpegs_rate(tmp_path: Path, figures: list[Any]) -> None:
    ours = to_results(points("SlimCAE", rate=0.6, seconds=0.1), "")
    others = {
        "JPEG": to_results(points("JPEG"), ""),
        "WebP": to_results(points("WebP", rate=0.8, seconds=0.2), ""),
    }
    assert draw_times(tmp_path / "t.png", ours, others, labels=["a", "b", "c", "d"])
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
    assert not draw_times(tmp_path / "u.png", ours, {})
    assert not (tmp_path / "u.png").exists()


def test_points_beyond_jpegs_quality_are_left_out_and_the_others_keep_their_labels(
    tmp_path: Path, figures: list[Any]
) -> None:
    others = {"JPEG": to_results(points("JPEG")[1:], "")}
    assert draw_times(
        tmp_path / "t.png", to_results(points("SlimCAE"), ""), others, labels=["a", "b", "c", "d"]
    )
    for axes in figures[0].axes:
        assert len(axes.lines[-1].get_xdata()) == 3
        assert {text.get_text() for text in axes.texts} == {"JPEG", "b", "c", "SlimCAE d"}


def test_the_title_of_times_says_how_ours_ran_and_what_bars_are(
    tmp_path: Path, figures: list[Any]
) -> None:
    others = {"JPEG": to_results(points("JPEG"), "")}
    for description, words in (
        ("slimcae 1, torch 2.13, cpu, bfloat16, threads: 2; 24 images", "(bfloat16, 2 threads)"),
        ("slimcae 1, torch 2.13, cuda, float32, threads: 1; 24 images", "(float32, 1 thread)"),
    ):
        ours = to_results(points("SlimCAE"), description)
        assert draw_times(tmp_path / "t.png", ours, others, subtitle="where")
        title = figures[-1].get_suptitle()
        assert title.startswith(f"where\nSlimCAE {words}:")
        assert "bars: fewest to most bits" in title


@pytest.mark.parametrize("seconds", [0.001, 0.004, 0.01, 0.03])
def test_names_of_times_touch_neither_each_other_nor_our_line(
    tmp_path: Path, figures: list[Any], seconds: float
) -> None:
    """Our points may be anywhere next to many others."""
    own = [
        replace(point, bpp=rate * point.bpp)
        for point, rate in zip(
            points("SlimCAE", seconds=seconds), (0.7, 0.8, 0.85, 0.8), strict=True
        )
    ]
    others = {"JPEG": to_results(points("JPEG", seconds=0.001), "")}
    for k, name in enumerate(("JPEG 2000", "JPEG XL effort 3", "JPEG XL effort 7", "WebP")):
        found = points(name, rate=0.7 + 0.03 * k, seconds=0.011 + 0.001 * k)
        found[1] = replace(found[1], bpp=1.1 * found[1].bpp)
        others[name] = to_results(found, "")
    labels = ["48", "72", "96", "192"]
    assert draw_times(tmp_path / "t.png", to_results(own, ""), others, labels=labels)
    for axes in figures[0].axes:
        texts = [text for text in axes.texts if text.get_text()]
        assert {text.get_text() for text in texts} == {*others, *labels[:3], "SlimCAE 192"}
        boxes = [text.get_window_extent() for text in texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        frame = axes.get_window_extent()
        assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
        line = axes.transData.transform(axes.lines[-1].get_xydata())
        for (x0, y0), (x1, y1) in pairwise(line):
            for part in np.linspace(0, 1, 500):
                at = x0 + part * (x1 - x0), y0 + part * (y1 - y0)
                assert not any(box.contains(*at) for box in boxes)


def kodak(k: int, **other: Any) -> Seen:
    upright = k in (4, 9, 10, 17, 18, 19)
    seen = Seen(Path(f"kodim{k:02}.png"), *((512, 768) if upright else (768, 512)))
    return seen._replace(**other)


def test_kodak_is_known_by_names_and_sizes() -> None:
    pictures = [kodak(k) for k in range(1, 25)]
    assert why_not_kodak(pictures) == ""
    folder = Path("photos")
    renamed = [seen._replace(path=folder / f"my_{seen.path.stem.upper()}.BMP") for seen in pictures]
    assert why_not_kodak(renamed[::-1]) == ""
    for changed, reason in (
        (pictures[:3], "not 24, but 3"),
        ([*pictures, kodak(1)], "not 24, but 25"),
        ([*pictures[:23], kodak(1)], "names do not end in"),
        ([*pictures[:23], kodak(24, path=Path("kodim24 crop.png"))], "names do not end in"),
        ([*pictures[:23], kodak(24, path=Path("kodim24.jpg"))], "kodim24.jpg may have lost"),
        ([*pictures[:23], kodak(24, width=512)], "kodim24.png has 512×512 pixels"),
        ([*pictures[:23], kodak(24, width=384, height=256)], "has 384×256 pixels"),
    ):
        assert reason in why_not_kodak(changed)


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
    names = [
        *("SlimCAE", "JPEG", "JPEG 2000", "WebP"),
        *("AVIF speed 6", "AVIF speed 8", "AVIF speed 9", "AVIF speed 10"),
        *("JPEG XL effort 1", "JPEG XL effort 3", "JPEG XL effort 7"),
    ]
    assert len({colour_of(name) for name in names}) == len(names)
    assert len({marker_of(name) for name in names}) == len(names)
    assert colour_of("AVIF speed 4") not in {colour_of(name) for name in names}


def luminance(colour: str) -> float:
    """Return the relative luminance of "#RRGGBB" as defined by WCAG 2.2."""
    values = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    "names",
    [
        ("AVIF speed 6", "AVIF speed 8", "AVIF speed 9", "AVIF speed 10"),
        ("JPEG XL effort 7", "JPEG XL effort 3", "JPEG XL effort 1"),
    ],
)
def test_settings_of_a_codec_differ_in_lightness(names: tuple[str, ...]) -> None:
    for slow, fast in pairwise(names):
        assert luminance(colour_of(fast)) > 1.5 * luminance(colour_of(slow))


def test_published_curves_come_with_the_package() -> None:
    curves = published()
    assert list(curves) == list(NAMES.values())
    for name, results in curves.items():
        assert len(results.curve()) >= 5, name
    # read from the published tables between two points at 0.25 bits per pixel
    assert rate_at(curves["JPEG"].curve(), 24.68) == pytest.approx(0.25, rel=0.02)
    assert rate_at(curves["VVC (VTM)"].curve(), 31.27) == pytest.approx(0.25, rel=0.02)
