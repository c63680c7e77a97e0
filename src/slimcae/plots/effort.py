"""Plot of bytes at equal quality over encoding time, in seconds per megapixel."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from slimcae.plots.bench import colour_of
from slimcae.plots.style import BLUE, INK, new_figure, save, tidy

_SHADES = ("#9CC3E6", BLUE, "#0B3C5D")
"""Colours of our widths, from the smallest to the largest."""

Series = Sequence[tuple[float, float, str]]
"""Seconds per megapixel, % of bytes, and the label of the point."""


def plot_effort(
    path: Path, ours: Mapping[str, Series], others: Mapping[str, Series], title: str
) -> None:
    """Draw a line for each width and each other codec, relative to its first setting.

    ours: lines by names such as "width 96", smallest width first. others: lines by codec name.
    """
    figure = new_figure(7.0, 4.2)
    axes = figure.add_subplot()
    tidy(axes)
    for number, (name, series) in enumerate([*ours.items(), *others.items()]):
        own = number < len(ours)
        colour = _SHADES[min(number, len(_SHADES) - 1)] if own else colour_of(name)
        seconds, percents, labels = zip(*sorted(series), strict=True)
        axes.plot(seconds, percents, "o-" if own else "s--", ms=4, lw=1.4, color=colour, label=name)
        for place, percent, label in zip(seconds, percents, labels, strict=True):
            axes.annotate(
                label,
                (place, percent),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=INK,
            )
    axes.set_xscale("log")
    axes.set_xlabel("seconds to encode a megapixel", color=INK)
    axes.set_ylabel("bytes at equal PSNR, %", color=INK)
    axes.legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    save(figure, path)
