"""Plot of a λ-schedule: the rate–distortion points of the widths after each try."""

from collections.abc import Sequence
from pathlib import Path

from slimcae.files import atomic_path

Curve = Sequence[tuple[float, float]]
"""Bits per pixel and PSNR in dB of each width."""


def plot_tries(path: Path, tries: Sequence[Curve], widths: Sequence[int]) -> None:
    """Draw the curve of every try to a PNG file, with the first and the last one emphasized."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for curve in tries[1:-1]:
        axes.plot(*zip(*curve, strict=True), color="0.75", linewidth=0.8)
    axes.plot(*zip(*tries[0], strict=True), "o--", color="#0072B2", label="before")
    axes.plot(
        *zip(*tries[-1], strict=True), "o-", color="#D55E00", label=f"after {len(tries) - 1} tries"
    )
    for point, width in zip(tries[-1], widths, strict=True):
        axes.annotate(str(width), point, textcoords="offset points", xytext=(6, -10))
    axes.set_xlabel("estimated rate on the validation images (bits per pixel)")
    axes.set_ylabel("PSNR (dB)")
    axes.set_title("λ-scheduling: each label is a width")
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
