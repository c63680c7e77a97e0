"""How our plots look: colours, frames, and writing them as PNG files.

Drawn with matplotlib's object interface on the Agg canvas: no window, no pyplot state. The ground
is white and opaque, so that plots read the same on light and dark pages.
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
"""After Okabe and Ito: told apart with any colour vision."""
DOTS_PER_INCH = 200


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of this size in inches, which lays itself out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: "Axes") -> None:
    """A light grid behind the data, and axes only left and below."""
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)


def halo() -> "list[AbstractPathEffect]":
    """A white edge for texts that lie on lines."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="white")]


def save(figure: "Figure", path: Path) -> None:
    """Write the PNG file.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_path(path) as temporary:
        # the same picture makes the same bytes, whatever version of matplotlib is named in them
        figure.savefig(temporary, format="png", metadata={"Software": None})
