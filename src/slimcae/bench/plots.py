"""Plots of a benchmark: quality over rate, and what the bits cost in time."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from slimcae.bench.report import QUALITIES, curve_of
from slimcae.drawing import (
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
from slimcae.evaluation.bd_rate import Curve, rate_at
from slimcae.evaluation.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ANCHOR = "JPEG"
"""Whose rate is 100 % in the plot of times."""

_COLOURS = {
    "JPEG": INK,
    "WebP": ORANGE,
    "JPEG 2000": "#B8A000",
    "AVIF": VERMILION,
    "JPEG XL": PURPLE,
    "AV1": SKY,
    "BPG": "#8C5A9E",
    "VVC": GREY,
    "Factorized": GREEN,
    "CompressAI": GREEN,
}
"""By how a name begins."""
_LABEL_STEP = 0.052
"""Least distance of two labels above each other, as a part of the height."""
_TAG_WIDTH = 0.28
"""About how wide a label is, as a part of the axes."""


def plot_rd(
    path: Path,
    ours: Sequence[Results],
    others: Mapping[str, Results],
    references: Mapping[str, Results],
    *,
    labels: Sequence[str] = (),
    subtitle: str = "",
) -> None:
    """PSNR and, where there is one, MS-SSIM over the rate; published references are dashed.

    labels: of the points of the first of our curves, which are named beside it.

    Raises:
        OSError: the file cannot be written.
    """
    qualities = [quality for quality in QUALITIES if curve_of(ours[0], quality)]
    figure = new_figure(5.6 * len(qualities) + 0.4, 4.6)
    for axes, quality in zip(
        figure.subplots(1, len(qualities), squeeze=False)[0], qualities, strict=True
    ):
        _draw_rd(axes, ours, others, references, quality, labels)
    figure.suptitle(subtitle, fontsize=10, color=INK, x=0.01, ha="left")
    save(figure, path)


def _draw_rd(
    axes: "Axes",
    ours: Sequence[Results],
    others: Mapping[str, Results],
    references: Mapping[str, Results],
    quality: str,
    labels: Sequence[str],
) -> None:
    main = [pair for pair in sorted(curve_of(ours[0], quality)) if math.isfinite(pair[1])]
    low, high = main[0][1], main[-1][1]
    span = max(high - low, 1.0)
    axes.set_xlim(0, 1.12 * max(rate for rate, _ in main))
    axes.set_ylim(low - 0.25 * span, high + 0.32 * span)
    ends: list[_End] = []
    for group, style in ((references, (0, (4, 2))), (others, "-")):
        for name, results in group.items():
            curve = sorted(curve_of(results, quality))
            if len(curve) < 2:
                continue
            x, y = zip(*curve, strict=True)
            axes.plot(x, y, color=colour_of(name), linewidth=1.3, linestyle=style)
            end = _end(axes, x, y, name)
            if end is not None:
                ends.append(end)
    for number, results in enumerate(ours):
        curve = sorted(curve_of(results, quality))
        x, y = zip(*curve, strict=True)
        style, size = ("o-", 6) if number == 0 else ("D", 3.5)
        axes.plot(x, y, style, color=BLUE, linewidth=2.4, markersize=size)
        ends.append(_End(y[-1], 0.0, results.name, BLUE))
    for (rate, value), label in zip(main, labels, strict=False):
        axes.annotate(
            label,
            (rate, value),
            xytext=(5, -5),
            textcoords="offset points",
            va="top",
            fontsize=8.5,
            color=BLUE,
        )
    _label_ends(axes, ends)
    tidy(axes)
    axes.set_xlabel("bits per pixel", color=INK)
    axes.set_ylabel(f"{QUALITIES[quality]} (dB)", color=INK)


class _End(NamedTuple):
    """Where a curve leaves the axes: at this height, and of those at the top, so far left."""

    height: float
    left: float
    name: str
    colour: str


def _end(axes: "Axes", x: Sequence[float], y: Sequence[float], name: str) -> _End | None:
    """The end of a rising curve, if any of it is within the axes."""
    right, (bottom, top) = axes.get_xlim()[1], axes.get_ylim()
    height = float(np.interp(right, x, y))
    if x[0] >= right or height <= bottom:
        return None
    left = -float(np.interp(top, y, x)) if height > top else -right
    return _End(min(height, top), left, name, colour_of(name))


def _label_ends(axes: "Axes", ends: Sequence[_End]) -> None:
    """Names at the right edge in the order of their curves, pushed apart where they would touch."""
    bottom, top = axes.get_ylim()
    ordered = sorted(ends)
    places: list[float] = []
    for end in ordered:
        place = (end.height - bottom) / (top - bottom)
        places.append(max(place, places[-1] + _LABEL_STEP) if places else place)
    limit = 1.0
    for k in reversed(range(len(places))):  # too many at the top push those below them down
        places[k] = min(places[k], limit)
        limit = places[k] - _LABEL_STEP
    for place, end in zip(places, ordered, strict=True):
        axes.annotate(
            end.name,
            (1.0, place),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=end.colour,
            fontweight="bold" if end.colour == BLUE else "normal",
            annotation_clip=False,
        )


def plot_times(
    path: Path,
    ours: Results,
    others: Mapping[str, Results],
    *,
    labels: Sequence[str] = (),
    subtitle: str = "",
) -> bool:
    """Bits at equal PSNR over the time of a picture, on both sides; False if nothing can be drawn.

    A rate counts as a part of that of `ANCHOR` at the same PSNR. Of ours every point is shown; of
    the others the median over their points within our range of PSNR, and how far these reach.

    Raises:
        OSError: the file cannot be written.
    """
    if ANCHOR not in others:
        return False
    anchor = curve_of(others[ANCHOR], "psnr-rgb")
    reach = [value for _, value in curve_of(ours, "psnr-rgb")]
    figure = new_figure(10.4, 4.8)
    ways = ("encoding", "decoding")
    panels = []
    for axes, way in zip(figure.subplots(1, 2, sharey=True), ways, strict=True):
        own = _relative(ours, way, anchor, reach)
        if not own:
            return False
        tags: list[_Tag] = []
        for name, results in others.items():
            points = _relative(results, way, anchor, reach)
            if points:
                tags.append(_draw_other(axes, name, points))
        own_x, own_y = zip(*own, strict=True)
        axes.plot(own_x, own_y, "o-", color=BLUE, linewidth=2.2, markersize=6)
        for x, y, text in zip(own_x, own_y, labels, strict=False):
            axes.annotate(
                text,
                (x, y),
                xytext=(0, -6),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=8.5,
                color=BLUE,
            )
        tags.append(_Tag(own_x[-1], own_y[-1], ours.name, BLUE))
        axes.set_xscale("log")
        tidy(axes)
        axes.grid(which="minor", axis="x", color="#F2F2F2", linewidth=0.6)
        axes.set_xlabel(f"{way}, ms per picture (median)", color=INK)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        low, high = axes.get_xlim()
        axes.set_xlim(low, high * (high / low) ** 0.3)  # with room for the names
        panels.append((axes, tags))
    figure.axes[0].set_ylabel(f"bits at equal PSNR ({ANCHOR} = 100 %)", color=INK)
    figure.axes[0].set_ylim(0, None)
    for axes, tags in panels:  # where names touch depends on the limits of both
        _label_tags(axes, tags)
    figure.suptitle(subtitle, fontsize=10, color=INK, x=0.01, ha="left")
    save(figure, path)
    return True


class _Tag(NamedTuple):
    """A name that stands to the right of a point."""

    x: float
    y: float
    name: str
    colour: str


def _relative(
    results: Results, way: str, anchor: Curve, reach: Sequence[float]
) -> list[tuple[float, float]]:
    """Milliseconds and percent of the anchor's rate of all points in a range of PSNR."""
    lists = (results.lists[key] for key in ("bpp", "psnr-rgb", f"{way}_time"))
    found = []
    for rate, psnr, seconds in zip(*lists, strict=True):
        if rate is None or psnr is None or seconds is None:
            continue
        reference = rate_at(anchor, psnr)
        if reference is not None and min(reach) - 0.5 <= psnr <= max(reach) + 0.5:
            found.append((1000 * seconds, 100 * rate / reference))
    return found


def _draw_other(axes: "Axes", name: str, points: Sequence[tuple[float, float]]) -> _Tag:
    colour = colour_of(name)
    x, y = (statistics.median(values) for values in zip(*points, strict=True))
    rates = [rate for _, rate in points]
    axes.plot([x, x], [min(rates), max(rates)], color=colour, linewidth=1.6, alpha=0.55)
    axes.plot(x, y, "o", color=colour, markersize=5.5)
    return _Tag(x, y, name, colour)


def _label_tags(axes: "Axes", tags: Sequence[_Tag]) -> None:
    """Names beside their points, moved up where they would touch one that stands already."""
    to_fraction = axes.transLimits.transform
    placed: list[tuple[float, float]] = []
    for tag in sorted(tags, key=lambda tag: tag.y):
        x, y = to_fraction((math.log10(tag.x), tag.y))
        for other_x, other_y in sorted(placed, key=lambda place: place[1]):
            if abs(x - other_x) < _TAG_WIDTH and abs(y - other_y) < _LABEL_STEP:
                y = other_y + _LABEL_STEP
        placed.append((x, y))
        axes.annotate(
            tag.name,
            (x, y),
            xycoords="axes fraction",
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=tag.colour,
            fontweight="bold" if tag.colour == BLUE else "normal",
        )


def colour_of(name: str) -> str:
    """The colour of a codec: that of the longest known beginning of its name."""
    known = [start for start in _COLOURS if name.startswith(start)]
    return _COLOURS[max(known, key=len)] if known else SKY
