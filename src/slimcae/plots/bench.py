"""Plots of a benchmark: quality over rate, and bits over time."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from slimcae.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    halo,
    new_figure,
    save,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {
    "JPEG": INK,
    "WebP": ORANGE,
    "JPEG 2000": "#B8A000",
    "AVIF": VERMILION,
    "AVIF speed 6": "#7A3100",
    "AVIF speed 8": "#C65A11",
    "AVIF speed 9": "#F28C4E",
    "AVIF speed 10": "#FFC39B",
    "JPEG XL": PURPLE,
    "JPEG XL effort 1": "#EDBBD7",
    "JPEG XL effort 3": "#C873A3",
    "JPEG XL effort 7": "#7D2A5B",
    "AV1": SKY,
    "BPG": "#8C5A9E",
    "VVC": GREY,
    "Factorized": GREEN,
    "CompressAI": GREEN,
}
_MARKERS = {
    "JPEG": "s",
    "WebP": "P",
    "JPEG 2000": "X",
    "AVIF": "^",
    "AVIF speed 8": "v",
    "AVIF speed 9": "<",
    "AVIF speed 10": ">",
    "JPEG XL": "D",
    "JPEG XL effort 3": "d",
    "JPEG XL effort 1": "H",
}
"""Colours and markers by the beginning of a codec's name. Settings of one codec differ in lightness
and marker; slower ones are darker."""
_COLUMNS = 5
"""Maximal number of columns of the legend."""


Points = Sequence[tuple[float, float]]
Curves = Mapping[str, Points]
"""Points (x, y) of each codec, by its name."""


@dataclass(frozen=True)
class RDPanel:
    """Quality over rate: pairs of bits per pixel and dB, by increasing rate.

    Attributes:
        label: Label of the quality axis.
        ours: Our curves; the first one determines the limits of the axes.
        others: Measured codecs. references: Published curves, drawn dashed.
    """

    label: str
    ours: Curves
    others: Curves
    references: Curves


@dataclass(frozen=True)
class TimesPanel:
    """Bits at equal quality over time: pairs of milliseconds and percent.

    Attributes:
        label: Label of the time axis.
        own: Our points, by increasing rate. labels: Labels of these points.
        others: Points of other codecs; the plot shows their median and range.
    """

    label: str
    own: Points
    labels: Sequence[str]
    others: Curves


def plot_rd(
    path: Path, panels: Sequence[RDPanel], *, labels: Sequence[str] = (), subtitle: str = ""
) -> None:
    """Draw quality over rate, panels side by side.

    labels: labels of the points of our first curve.

    Raises:
        OSError: The file cannot be written.
    """
    figure = new_figure(4.7 * len(panels) + 0.4, 4.2)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_rd(axes, panel, labels)
    figure.suptitle(subtitle, fontsize=10, color=INK, x=0.01, ha="left")
    _add_legend(figure)
    save(figure, path)


def _add_legend(figure: "Figure") -> None:
    """Add one legend with all visible curves below the panels, in columns that fit."""
    lines = {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}
    for columns in reversed(range(1, _COLUMNS + 1)):
        legend = figure.legend(
            handles=list(lines.values()),
            loc="outside lower center",
            ncols=min(columns, len(lines)),
            fontsize=9.5,
            labelcolor=INK,
            frameon=False,
            handlelength=2.6,
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + 0.2 * math.ceil(len(lines) / columns))


def _draw_rd(axes: "Axes", panel: RDPanel, labels: Sequence[str]) -> None:
    main = next(iter(panel.ours.values()))
    low, high = main[0][1], main[-1][1]
    span = max(high - low, 1.0)
    axes.set_xlim(0, 1.12 * max(rate for rate, _ in main))
    axes.set_ylim(low - 0.25 * span, high + 0.32 * span)
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    for number, (name, curve) in enumerate(panel.ours.items()):
        if not curve:
            continue
        x, y = zip(*curve, strict=True)
        style, size = ("o-", 6) if number == 0 else ("D", 3.5)
        axes.plot(x, y, style, color=BLUE, linewidth=2.4, markersize=size, label=name, zorder=3)
    for group, dashes in ((panel.others, "-"), (panel.references, "--")):
        for name, curve in group.items():
            if len(curve) < 2:
                continue
            x, y = zip(*curve, strict=True)
            if x[0] >= right or float(np.interp(right, x, y)) <= bottom:
                continue  # outside of the axes
            axes.plot(
                x,
                y,
                color=colour_of(name),
                linewidth=1.3,
                linestyle=dashes,
                marker=marker_of(name) if group is panel.others else "",
                markersize=4,
                label=name,
            )
    for (rate, value), label in zip(main, labels, strict=False):
        axes.annotate(
            label,
            (rate, value),
            xytext=(-4, 4),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=9.5,
            fontweight="bold",
            color=BLUE,
            path_effects=halo(),
            zorder=4,
        )
    tidy(axes)
    axes.set_xlabel("bits per pixel", color=INK)
    axes.set_ylabel(panel.label, color=INK)


def plot_times(
    path: Path,
    panels: Sequence[TimesPanel],
    *,
    own_name: str,
    bits_label: str,
    title: str = "",
) -> None:
    """Draw bits at equal quality over the time per picture, panels side by side.

    own_name: label next to our last point. bits_label: label of the axis of bits.

    Raises:
        OSError: The file cannot be written.
    """
    figure = new_figure(9.6, 4.9)
    drawn = []
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=True), panels, strict=True):
        tags = [_draw_other(axes, name, curve) for name, curve in panel.others.items() if curve]
        tags += _draw_own(axes, panel, own_name)
        axes.set_xscale("log")
        tidy(axes)
        axes.grid(which="minor", axis="x", color="#F2F2F2", linewidth=0.6)
        axes.set_xlabel(panel.label, color=INK)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        low, high = axes.get_xlim()
        # with room for the names
        axes.set_xlim(low / (high / low) ** 0.1, high * (high / low) ** 0.25)
        drawn.append((axes, tags))
    figure.axes[0].set_ylabel(bits_label, color=INK)
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    figure.draw_without_rendering()  # label positions depend on the layout of the panels
    for axes, tags in drawn:
        _label_tags(axes, tags)
    save(figure, path)


class _Tag(NamedTuple):
    """The label of a point, and the extent of its marks up and down."""

    x: float
    low: float
    y: float
    high: float
    text: str
    colour: str


def _draw_other(axes: "Axes", name: str, points: Sequence[tuple[float, float]]) -> _Tag:
    colour = colour_of(name)
    x, y = (statistics.median(values) for values in zip(*points, strict=True))
    low, high = (f(rate for _, rate in points) for f in (min, max))
    axes.plot([x, x], [low, high], color=colour, linewidth=1.6, alpha=0.55)
    axes.plot(x, y, marker_of(name), color=colour, markersize=6)
    return _Tag(x, low, y, high, name, colour)


def _draw_own(axes: "Axes", panel: TimesPanel, name: str) -> list[_Tag]:
    x, y = zip(*panel.own, strict=True)
    axes.plot(x, y, "o-", color=BLUE, linewidth=2.2, markersize=6)
    texts = [*panel.labels, *[""] * (len(x) - len(panel.labels))]
    texts[-1] = f"{name} {texts[-1]}"
    return [_Tag(x, y, y, y, text, BLUE) for x, y, text in zip(x, y, texts, strict=True)]


_DIRECTIONS = [
    math.radians(k) for k in (0, 180, -90, 90, *range(-75, 90, 15), *range(105, 260, 15))
]
"""Directions of a label from its point, best first: right, left, below, above, between."""
_NEAR, _FAR = (5.0, 8.0, 12.0), (17.0, 24.0, 32.0, 42.0)
"""Distances of a label from its point, in typographic points; far labels get a connecting line."""


def _label_tags(axes: "Axes", tags: Sequence[_Tag]) -> None:
    """Place labels, each at the nearest position without overlaps.

    If possible, nothing lies between a point and its label either.
    """
    from matplotlib.transforms import Bbox

    dot = axes.figure.dpi / 72  # pixels of a typographic point
    frame = axes.get_window_extent()
    points = [axes.transData.transform((tag.x, tag.y)) for tag in tags]
    bars = []
    for tag in tags:
        (x, low), (_, high) = axes.transData.transform([(tag.x, tag.low), (tag.x, tag.high)])
        bars.append(Bbox.from_extents(x, low, x, high))
    own = [point for point, tag in zip(points, tags, strict=True) if tag.colour == BLUE]
    line = [  # the line between our points, sampled
        Bbox.from_bounds(x, y, 0, 0)
        for start, end in pairwise(own)
        for x, y in np.linspace(start, end, 100)
    ]
    taken = [piece.padded(2 * dot) for piece in line]
    # our labels first, since they have priority
    order = sorted(range(len(tags)), key=lambda k: (tags[k].colour != BLUE, points[k][1]))
    for k in order:
        tag, (x, y), bar = tags[k], points[k], bars[k]
        ours = tag.colour == BLUE
        text = axes.annotate(
            tag.text,
            (tag.x, tag.y),
            (0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8.5,
            color=BLUE if ours else INK,
            fontweight="bold" if ours else "normal",
            path_effects=halo(),
        )
        size = text.get_window_extent()
        others = [other.padded(dot) for other in bars if other is not bar]
        if not ours:
            others += [piece.padded(dot) for piece in line]
        # keep a distance from the marks of other points, so that the label is not ambiguous
        marks = [other.padded((4 if other is bar else 7) * dot) for other in bars]
        free = []
        for place in _places(size.width, size.height, bar.y0 - y, bar.y1 - y, dot):
            box = Bbox.from_bounds(
                x + place.right - size.width / 2,
                y + place.up - size.height / 2,
                size.width,
                size.height,
            )
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1
            inside = inside and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not box.count_overlaps([*taken, *marks]):
                way = np.linspace((x, y), (x + place.right, y + place.up), 60)
                crossed = any(other.contains(*at) for at in way for other in others)
                free.append((crossed, place, box, way))
                if not crossed:
                    break
        if not free:  # no room for this label
            text.remove()
            continue
        _, place, box, way = min(
            free, key=lambda found: found[0]
        )  # the first of equals is the nearest
        text.set_position((place.right / dot, place.up / dot))
        taken.append(box.padded(2 * dot))
        if place.far:
            end = next(at for at in way if box.padded(dot).contains(*at))
            axes.annotate(
                "",
                (tag.x, tag.y),
                (end - (x, y)) / dot,
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": tag.colour, "linewidth": 0.7},
                zorder=1,
            )


class _Place(NamedTuple):
    """A position for the middle of a label, in pixels from its point.

    far: whether the label needs a connecting line.
    """

    right: float
    up: float
    far: bool = False


def _places(width: float, height: float, low: float, high: float, dot: float) -> Iterator[_Place]:
    """Yield the candidate positions of a label, nearest first.

    width, height: size of the label. low, high: ends of the point's bar. dot: size of a
    typographic point. All are in pixels.
    """
    for distances, far in ((_NEAR, False), (_FAR, True)):
        for away, angle in product(distances, _DIRECTIONS):
            right = math.cos(angle) * (width / 2 + away * dot)
            up = math.sin(angle) * (height / 2 + away * dot)
            yield _Place(right, up, far=far)
        if not far:
            for aside in (0.0, 0.25, -0.25, 0.45, -0.45):
                yield _Place(aside * width, low - height / 2 - 5 * dot)
                yield _Place(aside * width, high + height / 2 + 5 * dot)


def colour_of(name: str) -> str:
    """Return the colour of a codec, by the longest known beginning of its name."""
    return _longest(_COLOURS, name, SKY)


def marker_of(name: str) -> str:
    """Return the marker of a codec, by the longest known beginning of its name."""
    return _longest(_MARKERS, name, "o")


def _longest(known: Mapping[str, str], name: str, default: str) -> str:
    starts = [start for start in known if name.startswith(start)]
    return known[max(starts, key=len)] if starts else default
