"""Plots of a benchmark: quality over rate, and what the bits cost in time."""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
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
_LABEL_STEP = 0.06
"""Least distance of two labels above each other, as a part of the height."""


def plot_rd(
    path: Path,
    ours: Sequence[Results],
    others: Mapping[str, Results],
    references: Mapping[str, Results],
    *,
    labels: Sequence[str] = (),
    subtitle: str = "",
) -> bool:
    """PSNR and, where there is one, MS-SSIM over the rate; published references are dashed.

    labels: of the points of the first of our curves, which are named beside it. False if nothing
    can be drawn.

    Raises:
        OSError: the file cannot be written.
    """
    qualities = [quality for quality in QUALITIES if _finite(ours[0], quality)]
    if not qualities:
        return False
    figure = new_figure(4.7 * len(qualities) + 0.4, 4.2)
    for axes, quality in zip(
        figure.subplots(1, len(qualities), squeeze=False)[0], qualities, strict=True
    ):
        _draw_rd(axes, ours, others, references, quality, labels)
    figure.suptitle(subtitle, fontsize=10, color=INK, x=0.01, ha="left")
    save(figure, path)
    return True


def _finite(results: Results, quality: str) -> list[tuple[float, float]]:
    """The points of a curve by rising rate, without lossless ones."""
    return sorted(pair for pair in curve_of(results, quality) if math.isfinite(pair[1]))


def _draw_rd(
    axes: "Axes",
    ours: Sequence[Results],
    others: Mapping[str, Results],
    references: Mapping[str, Results],
    quality: str,
    labels: Sequence[str],
) -> None:
    main = _finite(ours[0], quality)
    low, high = main[0][1], main[-1][1]
    span = max(high - low, 1.0)
    axes.set_xlim(0, 1.12 * max(rate for rate, _ in main))
    axes.set_ylim(low - 0.25 * span, high + 0.32 * span)
    ends: list[_End] = []
    for group, style in ((references, (0, (4, 2))), (others, "-")):
        for name, results in group.items():
            curve = _finite(results, quality)
            if len(curve) < 2:
                continue
            x, y = zip(*curve, strict=True)
            axes.plot(x, y, color=colour_of(name), linewidth=1.3, linestyle=style)
            end = _end(axes, x, y, name)
            if end is not None:
                ends.append(end)
    for number, results in enumerate(ours):
        curve = _finite(results, quality)
        if not curve:
            continue
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
            fontsize=9.5,
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
            fontsize=9.5,
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
    if ANCHOR not in others or not _finite(ours, "psnr-rgb"):
        return False
    anchor = curve_of(others[ANCHOR], "psnr-rgb")
    reach = [value for _, value in _finite(ours, "psnr-rgb")]
    figure = new_figure(9.6, 4.6)
    ways = ("encoding", "decoding")
    panels = []
    for axes, way in zip(figure.subplots(1, 2, sharey=True), ways, strict=True):
        own = _relative(ours, way, anchor, reach)
        if not own:
            return False
        found = {name: _relative(other, way, anchor, reach) for name, other in others.items()}
        tags = [_draw_other(axes, name, points) for name, points in found.items() if points]
        tags += _draw_own(axes, own, labels, ours.name)
        axes.set_xscale("log")
        tidy(axes)
        axes.grid(which="minor", axis="x", color="#F2F2F2", linewidth=0.6)
        axes.set_xlabel(f"{way}, ms per picture (median)", color=INK)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        low, high = axes.get_xlim()
        axes.set_xlim(low, high * (high / low) ** 0.25)  # with room for the names
        panels.append((axes, tags))
    figure.axes[0].set_ylabel(f"bits at equal PSNR ({ANCHOR} = 100 %)", color=INK)
    figure.suptitle(subtitle, fontsize=10, color=INK, x=0.01, ha="left")
    for axes, tags in panels:  # where names touch depends on the limits of both
        _label_tags(axes, tags)
    save(figure, path)
    return True


class _Tag(NamedTuple):
    """What is to be written beside a point, and how far up and down its marks reach."""

    x: float
    low: float
    y: float
    high: float
    text: str
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
    low, high = (f(rate for _, rate in points) for f in (min, max))
    axes.plot([x, x], [low, high], color=colour, linewidth=1.6, alpha=0.55)
    axes.plot(x, y, "o", color=colour, markersize=5.5)
    return _Tag(x, low, y, high, name, colour)


def _draw_own(
    axes: "Axes", points: Sequence[tuple[float, float]], labels: Sequence[str], name: str
) -> list[_Tag]:
    x, y = zip(*points, strict=True)
    axes.plot(x, y, "o-", color=BLUE, linewidth=2.2, markersize=6)
    texts = [*labels, *[""] * (len(x) - len(labels))]
    texts[-1] = f"{name} {texts[-1]}"
    return [_Tag(x, y, y, y, text, BLUE) for x, y, text in zip(x, y, texts, strict=True)]


def _label_tags(axes: "Axes", tags: Sequence[_Tag]) -> None:
    """Texts beside their points, each on the first side where it touches nothing else."""
    boxes = []
    places = []
    for tag in tags:
        (x, low), (_, high) = (
            axes.transLimits.transform((math.log10(tag.x), value)) for value in (tag.low, tag.high)
        )
        boxes.append((x - 0.012, low - 0.015, x + 0.012, high + 0.015))
        places.append((x, float(axes.transLimits.transform((math.log10(tag.x), tag.y))[1])))
    own = [place for place, tag in zip(places, tags, strict=True) if tag.colour == BLUE]
    for (x0, y0), (x1, y1) in pairwise(own):  # the line between our points, in pieces
        for part in np.linspace(0, 1, 9):
            x, y = x0 + part * (x1 - x0), y0 + part * (y1 - y0)
            boxes.append((x - 0.005, y - 0.005, x + 0.005, y + 0.005))
    # ours first: nothing else may take their places
    for tag, (x, y) in sorted(
        zip(tags, places, strict=True), key=lambda pair: (pair[0].colour != BLUE, pair[0].y)
    ):
        width, height = 0.0158 * len(tag.text), 0.04
        sides = [
            (x + 0.02, y - height / 2),
            (x - width / 2, y - 0.025 - height),
            (x - width / 2, y + 0.025),
            (x - 0.02 - width, y - height / 2),
            (x + 0.015, y - 0.02 - height),
            (x + 0.015, y + 0.02),
            (x + 0.02, y + 0.075),
            (x + 0.02, y - 0.075 - height),
        ]
        left, bottom = next(
            (
                (left, bottom)
                for left, bottom in sides
                if left > 0
                and left + width < 1.02
                and not any(
                    left < box[2]
                    and box[0] < left + width
                    and bottom < box[3]
                    and box[1] < bottom + height
                    for box in boxes
                )
            ),
            sides[0],
        )
        boxes.append((left, bottom, left + width, bottom + height))
        axes.text(
            left,
            bottom + height / 2,
            tag.text,
            transform=axes.transAxes,
            va="center",
            fontsize=8.5,
            color=tag.colour,
            fontweight="bold" if tag.colour == BLUE else "normal",
        )


def colour_of(name: str) -> str:
    """The colour of a codec: that of the longest known beginning of its name."""
    known = [start for start in _COLOURS if name.startswith(start)]
    return _COLOURS[max(known, key=len)] if known else SKY
