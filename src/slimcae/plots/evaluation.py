"""Plots of RD points: each quantity against width, and quality against rate, as PNG files."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimcae.evaluation.metrics import MS_SSIM_MIN_SIDE
from slimcae.evaluation.rd import RDPoint
from slimcae.plots.style import BLUE, INK, VERMILION, new_figure, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# marker, dash and side of the labels tell them apart in grey print; open squares show the dots
# beneath
STYLES: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "marker": "o", "markersize": 4.5},
    {"color": VERMILION, "marker": "s", "markersize": 7, "fillstyle": "none", "linestyle": "--"},
)
SIZE_INCHES = (5.6, 4.0)


@dataclass(frozen=True)
class _Quantity:
    """What one axis shows."""

    label: str
    of: Callable[[RDPoint], float | None]


_TOO_SMALL = (
    f"MS-SSIM is not available:\nno image has {MS_SSIM_MIN_SIDE} pixels or more on each side"
)
_INFINITE = "infinite: images are restored exactly"

_PSNR = _Quantity("PSNR (dB)", lambda point: point.psnr)
_MSE = _Quantity("MSE × 1000 (pixels in [0, 1])", lambda point: 1000 * point.mse)
_BPP = _Quantity("Rate (bits per pixel)", lambda point: point.bpp)
_MS_SSIM = _Quantity("MS-SSIM", lambda point: point.ms_ssim)
_MS_SSIM_DB = _Quantity("MS-SSIM (dB)", lambda point: point.ms_ssim_db)

_AGAINST_WIDTH = {
    "psnr": _PSNR,
    "mse": _MSE,
    "bpp": _BPP,
    "msssim": _MS_SSIM,
    "msssim_db": _MS_SSIM_DB,
}
_AGAINST_RATE = {"rd_psnr": _PSNR, "rd_msssim_db": _MS_SSIM_DB}


def plot_all(prefix: Path, curves: Sequence[Sequence[RDPoint]]) -> list[Path]:
    """Write the plots of one model or of two models, and return their paths.

    One model: `<prefix>_psnr.png`, `_mse`, `_bpp`, `_msssim` and `_msssim_db`, each against
    width, then `_rd_psnr` and `_rd_msssim_db`. Two models share each plot, and the first five
    are named `_psnr_vs_width.png` and so on. A plot without any value says why.

    Raises:
        OSError: a file cannot be written.
    """
    suffix = "_vs_width" if len(curves) > 1 else ""
    paths = []
    for stem, quantity in _AGAINST_WIDTH.items():
        paths.append(prefix.with_name(f"{prefix.name}_{stem}{suffix}.png"))
        _plot_against_width(paths[-1], curves, quantity)
    for stem, quantity in _AGAINST_RATE.items():
        paths.append(prefix.with_name(f"{prefix.name}_{stem}.png"))
        _plot_against_rate(paths[-1], curves, quantity)
    return paths


def _plot_against_width(
    path: Path, curves: Sequence[Sequence[RDPoint]], quantity: _Quantity
) -> None:
    def draw(axes: "Axes") -> None:
        axes.set_xlabel("Width (filters per layer)")
        axes.set_xticks(sorted({point.width for points in curves for point in points}))
        for points, style in zip(curves, STYLES, strict=False):
            drawn = sorted(_drawable(points, quantity), key=lambda pair: pair[0].width)
            axes.plot([point.width for point, _ in drawn], [y for _, y in drawn], **style)

    _save(path, curves, quantity, draw)


def _plot_against_rate(
    path: Path, curves: Sequence[Sequence[RDPoint]], quantity: _Quantity
) -> None:
    def draw(axes: "Axes") -> None:
        axes.set_xlabel(_BPP.label)
        for index, (points, style) in enumerate(zip(curves, STYLES, strict=False)):
            drawn = sorted(_drawable(points, quantity), key=lambda pair: pair[0].bpp)
            axes.plot([point.bpp for point, _ in drawn], [y for _, y in drawn], **style)
            # RD curves rise and bend right: above left and below right of them there is room
            side = 1 if index else -1
            for point, y in drawn:
                axes.annotate(
                    str(point.width),
                    (point.bpp, y),
                    xytext=(6 * side, -5 * side),
                    textcoords="offset points",
                    ha="left" if index else "right",
                    va="top" if index else "bottom",
                    fontsize=8.5,
                    color=style["color"],
                )
        axes.margins(x=0.09, y=0.09)

    _save(path, curves, quantity, draw)


def _drawable(points: Sequence[RDPoint], quantity: _Quantity) -> list[tuple[RDPoint, float]]:
    pairs = ((point, quantity.of(point)) for point in points)
    return [(point, y) for point, y in pairs if y is not None and math.isfinite(y)]


def _save(
    path: Path,
    curves: Sequence[Sequence[RDPoint]],
    quantity: _Quantity,
    draw: Callable[["Axes"], None],
) -> None:
    """Set up the axes, let `draw` fill them, label the models, and write the file."""
    figure = new_figure(*SIZE_INCHES)
    axes = figure.add_subplot()
    axes.set_ylabel(quantity.label)
    draw(axes)
    tidy(axes)
    axes.ticklabel_format(useOffset=False)

    legend = axes.legend(
        axes.lines,
        [""] * len(curves),
        loc="lower left",
        bbox_to_anchor=(0, 1.03),
        borderaxespad=0,
        borderpad=0,
        handlelength=2.8,
        frameon=False,
        fontsize=9.5,
    )
    for points, text in zip(curves, legend.get_texts(), strict=True):
        # set here: matplotlib hides labels that begin with "_", and takes $…$ for a formula
        text.set_text(points[0].model)
        text.set_parse_math(False)
    if not any(_drawable(points, quantity) for points in curves):
        values = [quantity.of(point) for points in curves for point in points]
        _say_missing(axes, _TOO_SMALL if set(values) == {None} else _INFINITE)
    save(figure, path)


def _say_missing(axes: "Axes", why: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=INK)
