"""Style of all plots: colours, frames, and writing PNG files.

Plots use matplotlib's object interface on the Agg canvas, without windows or pyplot state. The
background is white and opaque, so plots look the same on light and dark pages.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from slimcae.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patheffects import AbstractPathEffect

INK, GRID = "#333333", "#E3E3E3"
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, SKY, PURPLE, GREY = "#E69F00", "#56B4E9", "#CC79A7", "#8C8C8C"
"""Colours of Okabe and Ito, which are distinct with any colour vision."""
DOTS_PER_INCH = 200


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of this size in inches with constrained layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: "Axes") -> None:
    """Add a light grid behind the data, and keep only the left and bottom axes."""
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)


def halo() -> "list[AbstractPathEffect]":
    """Return a white outline for text on top of lines."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="white")]


def save(figure: "Figure", path: Path) -> None:
    """Write the PNG file.

    Raises:
        OSError: The file cannot be written.
    """
    with atomic_path(path) as temporary:
        # without matplotlib's version in the metadata, equal plots are equal files
        figure.savefig(temporary, format="png", metadata={"Software": None})
