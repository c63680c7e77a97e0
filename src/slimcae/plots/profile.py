"""Plot of the complexity table: times by stage and peak memory of every point."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimcae.plots.style import BLUE, GREY, INK, ORANGE, SKY, VERMILION, new_figure, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PARTS = (("network", BLUE), ("coder", ORANGE), ("rest", GREY))
_WAYS = (("encode", BLUE), ("decode", SKY))


def plot_complexity(path: Path, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Draw the rows that `slimcae profile --json` prints as "widths" to a PNG file.

    Raises:
        OSError: The file cannot be written.
    """
    rows = sorted(rows, key=lambda row: -row.get("point", row["width"]))
    with_memory = all(row["decode_peak_bytes"] is not None for row in rows)
    figure = new_figure(9.6 if with_memory else 6.6, 1.3 + 0.4 * len(rows))
    panels = figure.subplots(1, 3 if with_memory else 2, squeeze=False)[0]
    longest = max(row[f"{way}_ms"] for row in rows for way, _ in _WAYS)
    for axes, (way, _) in zip(panels, _WAYS, strict=False):
        _draw_times(axes, rows, way)
        axes.set_xlim(0, 1.22 * longest)  # equal in both panels, with room for the totals
    if with_memory:
        _draw_memory(panels[2], rows)
    for number, axes in enumerate(panels):
        tidy(axes)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_yticks(
            range(len(rows)),
            [_label(row) if number == 0 else "" for row in rows],
        )
        axes.set_ylim(len(rows) - 0.5, -0.5)
    names = "point" if any("point" in row for row in rows) else "width"
    panels[0].set_ylabel(names, color=INK)
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    save(figure, path)


def _label(row: Mapping[str, Any]) -> str:
    """Return the label of a row: "48", "48 effort 1", or "3 (λ 512)" where points share a width."""
    name = str(row.get("point", row["width"]))
    if row.get("lambda") is not None:
        name += f" (λ {row['lambda']:g})"
    return f"{name} effort 1" if row["effort"] == 1 else name


def _draw_times(axes: "Axes", rows: Sequence[Mapping[str, Any]], way: str) -> None:
    places = range(len(rows))
    left = [0.0] * len(rows)
    for part, colour in _PARTS:
        # no rest if stages ran in parallel
        lengths = [max(0.0, row[f"{way}_{part}_ms"]) for row in rows]
        axes.barh(places, lengths, 0.62, left, color=colour, label=part)
        left = [start + length for start, length in zip(left, lengths, strict=True)]
    for place, row, end in zip(places, rows, left, strict=True):
        axes.annotate(
            f"{row[f'{way}_ms']:.0f}",
            (end, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=INK,
        )
    axes.set_xlabel(f"{way}, ms", color=INK)
    if way == "decode":
        axes.legend(frameon=False, fontsize=8.5, loc="lower right", labelcolor=INK)


def _draw_memory(axes: "Axes", rows: Sequence[Mapping[str, Any]]) -> None:
    for shift, (way, colour) in zip((-0.18, 0.18), _WAYS, strict=True):
        places = [place + shift for place in range(len(rows))]
        axes.barh(
            places, [row[f"{way}_peak_bytes"] / 1e6 for row in rows], 0.34, color=colour, label=way
        )
    places = list(range(len(rows)))
    estimates = [row["decode_estimate_bytes"] / 1e6 for row in rows]
    axes.plot(
        estimates,
        places,
        "|",
        color=VERMILION,
        markersize=14,
        markeredgewidth=2,
        label="decode, computed",
    )
    peaks = [row[f"{way}_peak_bytes"] / 1e6 for row in rows for way, _ in _WAYS]
    axes.set_xlim(0, 1.2 * max(estimates + peaks))
    axes.set_xlabel("peak memory, MB", color=INK)
    # above the bars, because marks may be anywhere to their right
    axes.legend(
        frameon=False,
        fontsize=8.5,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.97),
        ncols=3,
        columnspacing=1.2,
        handlelength=1.4,
        labelcolor=INK,
    )
