import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_codec import make_points
from PIL import Image

from slimcae.evaluation.measure import RDPoint
from slimcae.evaluation.report import NO_MS_SSIM, to_series
from slimcae.plots import evaluation, style
from slimcae.plots.evaluation import COST_INCHES, SIZE_INCHES

COSTS = ["macs", "time"]
ONE = ["psnr", "mse", "bpp", "msssim", "msssim_db", "rd_psnr", "rd_msssim_db", *COSTS]
TWO = [
    "psnr_vs_width", "mse_vs_width", "bpp_vs_width", "msssim_vs_width", "msssim_db_vs_width",
    "rd_psnr", "rd_msssim_db", *COSTS,
]  # fmt: skip

BLUE, VERMILION = (0, 114, 178), (213, 94, 0)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "DOTS_PER_INCH", 100)


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Collect the texts of every saved figure, by file name."""
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    found: dict[str, list[str]] = {}
    plain = Figure.savefig

    def savefig(self: Figure, path: Path, **options: Any) -> None:
        plain(self, path, **options)
        assert all(isinstance(axes, Axes) for axes in self.axes)
        shown = [text.get_text() for axes in self.axes for text in axes.findobj(Text)]
        found[f"figure {len(found)}"] = shown

    monkeypatch.setattr(Figure, "savefig", savefig)
    return found


def plot_all(prefix: Path, curves: list[list[RDPoint]]) -> list[Path]:
    """Draw them as a report does."""
    return evaluation.plot_all(prefix, [to_series(points) for points in curves], NO_MS_SSIM)


def pixels_of(path: Path, colour: tuple[int, int, int]) -> int:
    image = np.asarray(Image.open(path).convert("RGB"))
    return int((image == np.array(colour, np.uint8)).all(axis=-1).sum())


def test_one_model(tmp_path: Path, texts: dict[str, list[str]]) -> None:
    paths = plot_all(tmp_path / "run.v1", [make_points("m")])
    assert [path.name for path in paths] == [f"run.v1_{stem}.png" for stem in ONE]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG"
            inches = COST_INCHES if path.stem.rpartition("_")[2] in COSTS else SIZE_INCHES
            assert image.size == tuple(round(side * 100) for side in inches)
        assert pixels_of(path, BLUE) > 150
        assert pixels_of(path, VERMILION) == 0
    psnr, mse, bpp, ms_ssim, ms_ssim_db, rd_psnr, rd_ms_ssim_db, macs, times = texts.values()
    for shown, label in zip(
        (psnr, mse, bpp, ms_ssim, ms_ssim_db),
        ("PSNR (dB)", "MSE", "bits per pixel", "MS-SSIM", "MS-SSIM (dB)"),
        strict=True,
    ):
        assert any(label in text for text in shown)
        assert "Width (filters per layer)" in shown
    for shown, label in ((rd_psnr, "PSNR (dB)"), (rd_ms_ssim_db, "MS-SSIM (dB)")):
        assert {label, "Rate (bits per pixel)", "192", "144", "96", "72", "48"} <= set(shown)
    assert {"PSNR (dB)", "Analysis (kMAC per pixel)", "Synthesis (kMAC per pixel)"} <= set(macs)
    assert {"PSNR (dB)", "Encoding (ms per picture)", "Decoding (ms per picture)"} <= set(times)


def test_two_models_share_each_plot(tmp_path: Path, texts: dict[str, list[str]]) -> None:
    paths = plot_all(tmp_path / "run", [make_points("a"), make_points("b", rate=1.5)])
    assert [path.name for path in paths] == [f"run_{stem}.png" for stem in TWO]
    for path, shown in zip(paths, texts.values(), strict=True):
        assert {"a", "b"} <= set(shown)
        assert pixels_of(path, VERMILION) > 50
        assert pixels_of(path, BLUE) > 25


def test_nine_models_share_each_plot_too(tmp_path: Path, texts: dict[str, list[str]]) -> None:
    names = [f"model {number}" for number in range(9)]
    curves = [make_points(name, rate=1 + k / 9) for k, name in enumerate(names)]
    paths = plot_all(tmp_path / "run", curves)
    assert [path.name for path in paths] == [f"run_{stem}.png" for stem in TWO]
    assert all(set(names) <= set(shown) for shown in texts.values())


def test_lambda_names_the_points_that_share_a_width(
    tmp_path: Path, texts: dict[str, list[str]]
) -> None:
    """Next to a model with different widths."""
    alike = [replace(p, setting=192, lmbda=2.0**k) for k, p in enumerate(make_points("m"), 7)]
    plot_all(tmp_path / "both", [make_points("a"), alike])
    labels = {f"λ {2**k}" for k in range(7, 12)}
    psnr, *_, rd_psnr, rd_ms_ssim_db, _, _ = texts.values()
    assert labels <= set(psnr)
    for shown in (rd_psnr, rd_ms_ssim_db):
        assert labels | {"192", "144", "96", "72", "48"} <= set(shown)
        assert shown.count("192") == 1  # of the other model
    unknown = to_series([replace(p, lmbda=None) for p in alike])
    assert unknown.labels == [""] * 5


def test_costs_that_are_not_known_are_said(tmp_path: Path, texts: dict[str, list[str]]) -> None:
    unknown = [replace(p, encoder_macs=None, decoder_macs=None) for p in make_points("m")]
    plot_all(tmp_path / "run", [unknown])
    *_, macs, times = texts.values()
    assert macs.count("not known") == 2
    assert "not known" not in times


def without_ms_ssim(points: list[RDPoint]) -> list[RDPoint]:
    return [replace(point, ms_ssim=None, ms_ssim_db=None) for point in points]


def test_plots_say_that_ms_ssim_is_not_available(
    tmp_path: Path, texts: dict[str, list[str]]
) -> None:
    paths = plot_all(tmp_path / "run", [without_ms_ssim(make_points("m"))])
    for path, shown in zip(paths, texts.values(), strict=True):
        said = any("not available" in text and "161" in text for text in shown)
        assert said == ("msssim" in path.name)


def test_ms_ssim_of_one_model_alone_is_drawn(tmp_path: Path) -> None:
    curves = [without_ms_ssim(make_points("a")), make_points("b")]
    *_, path, _, _ = plot_all(tmp_path / "run", curves)
    assert path.name == "run_rd_msssim_db.png"
    assert pixels_of(path, VERMILION) > 150


def test_infinite_values_are_left_out(tmp_path: Path, texts: dict[str, list[str]]) -> None:
    exact = [replace(point, psnr=math.inf, mse=0.0) for point in make_points("m")]
    path, *_ = plot_all(tmp_path / "all", [exact])
    assert any("restored exactly" in text for text in next(iter(texts.values())))
    path, *_ = plot_all(tmp_path / "some", [exact[:1] + make_points("m")[1:]])
    assert pixels_of(path, BLUE) > 150


def test_names_are_shown_literally(tmp_path: Path, texts: dict[str, list[str]]) -> None:
    name = "_a $\\frac{$ %s"
    plot_all(tmp_path / "run", [make_points(name)[:1]])
    assert all(name in shown for shown in texts.values())


def test_no_global_matplotlib_state(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    plot_all(tmp_path / "run", [make_points("m")])
    assert dict(matplotlib.rcParams) == before
