"""Plots of models, as PNG files: quantities against width, quality against rate and cost."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimcae.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    new_figure,
    save,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# marker, dash and side of the labels tell them apart in grey print; open squares show the dots
# beneath
STYLES: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "marker": "o", "markersize": 4.5},
    {"color": VERMILION, "marker": "s", "markersize": 7, "fillstyle": "none", "linestyle": "--"},
    {"color": GREEN, "marker": "^", "markersize": 6},
    {"color": ORANGE, "marker": "D", "markersize": 5, "linestyle": "--"},
    {"color": PURPLE, "marker": "v", "markersize": 6, "linestyle": "-."},
    {"color": SKY, "marker": "P", "markersize": 6},
    {"color": GREY, "marker": "X", "markersize": 6, "linestyle": ":"},
    {"color": INK, "marker": "*", "markersize": 8, "linestyle": "--"},
    {"color": BLUE, "marker": "x", "markersize": 7, "linestyle": ":"},
)
"""Styles of the models, in their order, repeated cyclically."""
SIZE_INCHES = (5.6, 4.0)
COST_INCHES = (8.8, 4.2)
LABELLED = 2
"""Largest number of models whose points are labelled; with more, labels would hide lines."""


Values = Sequence[float | None]
"""Values of the points of a model, in the order of its widths; None if not available."""


@dataclass(frozen=True)
class ModelSeries:
    """The series of a model to plot, with one value per point.

    Attributes:
        name: Name of the model, for the legend.
        widths: Filters per layer. lmbda: λ.
        bpp: Bits per pixel. mse: on the [0, 1] scale. psnr, ms_ssim_db: in dB.
        encoder_macs, decoder_macs: Multiply-accumulates per pixel.
        encode_ms, decode_ms: Milliseconds per picture.
    """

    name: str
    widths: Sequence[float]
    lmbda: Values
    bpp: Sequence[float]
    mse: Values
    psnr: Values
    ms_ssim: Values
    ms_ssim_db: Values
    encoder_macs: Values
    decoder_macs: Values
    encode_ms: Values
    decode_ms: Values

    @property
    def shares_widths(self) -> bool:
        """Whether several points have one width, so that λ tells them apart."""
        return len(set(self.widths)) < len(self.widths)

    @property
    def labels(self) -> list[str]:
        """What names each point: its width, or its λ where widths do not tell points apart."""
        if not self.shares_widths:
            return [f"{width:g}" for width in self.widths]
        return ["" if value is None else f"λ {value:g}" for value in self.lmbda]


@dataclass(frozen=True)
class _Quantity:
    """The quantity on one axis."""

    label: str
    of: Callable[[ModelSeries], Values]


_INFINITE = "infinite: images are restored exactly"

_PSNR = _Quantity("PSNR (dB)", lambda model: model.psnr)
_MSE = _Quantity(
    "MSE × 1000 (pixels in [0, 1])",
    lambda model: [None if mse is None else 1000 * mse for mse in model.mse],
)
_BPP = _Quantity("Rate (bits per pixel)", lambda model: model.bpp)
_MS_SSIM = _Quantity("MS-SSIM", lambda model: model.ms_ssim)
_MS_SSIM_DB = _Quantity("MS-SSIM (dB)", lambda model: model.ms_ssim_db)

_AGAINST_WIDTH = {
    "psnr": _PSNR,
    "mse": _MSE,
    "bpp": _BPP,
    "msssim": _MS_SSIM,
    "msssim_db": _MS_SSIM_DB,
}
_AGAINST_RATE = {"rd_psnr": _PSNR, "rd_msssim_db": _MS_SSIM_DB}


def _thousands(values: Values) -> Values:
    return [None if value is None else value / 1000 for value in values]


_AGAINST_COST = {
    "macs": (
        _Quantity("Analysis (kMAC per pixel)", lambda model: _thousands(model.encoder_macs)),
        _Quantity("Synthesis (kMAC per pixel)", lambda model: _thousands(model.decoder_macs)),
    ),
    "time": (
        _Quantity("Encoding (ms per picture)", lambda model: model.encode_ms),
        _Quantity("Decoding (ms per picture)", lambda model: model.decode_ms),
    ),
}
"""Two panels of PSNR each."""


def plot_all(prefix: Path, models: Sequence[ModelSeries], missing: str) -> list[Path]:
    """Write the plots of one model or of several, and return their paths.

    One model: `<prefix>_psnr.png`, `_mse`, `_bpp`, `_msssim` and `_msssim_db`, each against
    width, then `_rd_psnr` and `_rd_msssim_db`, and PSNR against multiply-accumulates, `_macs`, and
    times, `_time`. Several models share each plot, and the first five are named
    `_psnr_vs_width.png` and so on. A plot without any value contains the reason, which is
    `missing` if no model has the quantity.

    Raises:
        OSError: A file cannot be written.
    """
    suffix = "_vs_width" if len(models) > 1 else ""
    paths = []
    for stem, quantity in _AGAINST_WIDTH.items():
        paths.append(prefix.with_name(f"{prefix.name}_{stem}{suffix}.png"))
        _plot_against_width(paths[-1], models, quantity, missing)
    for stem, quantity in _AGAINST_RATE.items():
        paths.append(prefix.with_name(f"{prefix.name}_{stem}.png"))
        _plot_against_rate(paths[-1], models, quantity, missing)
    for stem, costs in _AGAINST_COST.items():
        paths.append(prefix.with_name(f"{prefix.name}_{stem}.png"))
        _plot_against_cost(paths[-1], models, costs)
    return paths


def _plot_against_width(
    path: Path, models: Sequence[ModelSeries], quantity: _Quantity, missing: str
) -> None:
    def draw(axes: "Axes") -> None:
        axes.set_xlabel("Width (filters per layer)")
        axes.set_xticks(sorted({width for model in models for width in model.widths}))
        for model, style in zip(models, cycle(STYLES), strict=False):
            drawn = sorted(_drawable(model, model.widths, quantity))
            axes.plot([x for x, _, _ in drawn], [y for _, y, _ in drawn], **style)
            if model.shares_widths and len(models) <= LABELLED:
                _label_points(axes, drawn, style, 1)

    _save(path, models, quantity, missing, draw)


def _plot_against_rate(
    path: Path, models: Sequence[ModelSeries], quantity: _Quantity, missing: str
) -> None:
    def draw(axes: "Axes") -> None:
        axes.set_xlabel(_BPP.label)
        for index, (model, style) in enumerate(zip(models, cycle(STYLES), strict=False)):
            drawn = sorted(_drawable(model, model.bpp, quantity))
            axes.plot([x for x, _, _ in drawn], [y for _, y, _ in drawn], **style)
            if len(models) > LABELLED:
                continue
            # RD curves are concave, so there is room above on the left and below on the right
            _label_points(axes, drawn, style, 1 if index else -1)
        axes.margins(x=0.09, y=0.09)

    _save(path, models, quantity, missing, draw)


def _label_points(
    axes: "Axes", drawn: Sequence[tuple[float, float, str]], style: dict[str, Any], side: int
) -> None:
    """Write labels below right (1) or above left (−1) of points."""
    for x, y, label in drawn:
        axes.annotate(
            label,
            (x, y),
            xytext=(6 * side, -5 * side),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="top" if side > 0 else "bottom",
            fontsize=8.5,
            color=style["color"],
        )


def _plot_against_cost(
    path: Path, models: Sequence[ModelSeries], costs: Sequence[_Quantity]
) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    figure = new_figure(*COST_INCHES)
    panels = figure.subplots(1, len(costs), sharey=True)
    for axes, cost in zip(panels, costs, strict=True):
        axes.set_xlabel(cost.label)
        drawn_any = False
        for model, style in zip(models, cycle(STYLES), strict=False):
            places = [math.nan if value is None else value for value in cost.of(model)]
            drawn = [
                (x, y) for x, y, _ in _drawable(model, places, _PSNR) if math.isfinite(x) and x > 0
            ]
            drawn_any |= bool(drawn)
            axes.plot([x for x, _ in sorted(drawn)], [y for _, y in sorted(drawn)], **style)
        if drawn_any:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
        tidy(axes)
        if not drawn_any:
            _say_missing(axes, "not known")
    panels[0].set_ylabel(_PSNR.label)
    _label_models(panels[0], models)
    save(figure, path)


def _drawable(
    model: ModelSeries, places: Sequence[float], quantity: _Quantity
) -> list[tuple[float, float, str]]:
    """Return (x, y, label) of the points with a finite value."""
    triples = zip(places, quantity.of(model), model.labels, strict=True)
    return [(x, y, label) for x, y, label in triples if y is not None and math.isfinite(y)]


def _save(
    path: Path,
    models: Sequence[ModelSeries],
    quantity: _Quantity,
    missing: str,
    draw: Callable[["Axes"], None],
) -> None:
    """Set up the axes, let `draw` fill them, label the models, and write the file."""
    figure = new_figure(*SIZE_INCHES)
    axes = figure.add_subplot()
    axes.set_ylabel(quantity.label)
    draw(axes)
    tidy(axes)
    axes.ticklabel_format(useOffset=False)

    _label_models(axes, models)
    if not any(_drawable(model, model.bpp, quantity) for model in models):
        values = {value for model in models for value in quantity.of(model)}
        _say_missing(axes, missing if values == {None} else _INFINITE)
    save(figure, path)


def _label_models(axes: "Axes", models: Sequence[ModelSeries]) -> None:
    """Write the names of the models above the plot, next to their line styles."""
    legend = axes.legend(
        axes.lines,
        [""] * len(models),
        loc="lower left",
        bbox_to_anchor=(0, 1.03),
        borderaxespad=0,
        borderpad=0,
        handlelength=2.8,
        frameon=False,
        fontsize=9.5,
        ncols=1 + (len(models) > LABELLED),
    )
    for model, text in zip(models, legend.get_texts(), strict=True):
        # set here, because matplotlib hides labels that begin with "_" and renders $…$ as formulas
        text.set_text(model.name)
        text.set_parse_math(False)


def _say_missing(axes: "Axes", why: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=INK)
