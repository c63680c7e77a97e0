"""Our rate–distortion curve beside published ones: a plot, and the BD-rates as a table.

    python benchmarks/kodak_plot.py results/kodak.json --output docs/figures/kodak.png

The first file is what `slimcae evaluate` wrote; the others lie in benchmarks/published/kodak.
Negative BD-rates mean that we need fewer bits for the same PSNR.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from slimcae.evaluation.bd_rate import bd_rate
from slimcae.evaluation.results import read_json
from slimcae.files import atomic_path

PUBLISHED = Path(__file__).parent / "published" / "kodak"
# file, label, colour (after Okabe and Ito, for any colour vision)
CURVES = (
    ("vtm", "VVC intra (VTM)", "#999999"),
    ("bpg_444_x265_ycbcr", "BPG", "#CC79A7"),
    ("av1", "AV1", "#56B4E9"),
    ("paper-bmshj2018-factorized", "factorized prior, one model per point", "#009E73"),
    ("webp", "WebP", "#E69F00"),
    ("jpeg2000", "JPEG 2000", "#F0E442"),
    ("jpeg", "JPEG", "#333333"),
)
OURS = "#0072B2"


def main() -> None:
    """Draw and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, help="JSON written by slimcae evaluate")
    parser.add_argument("--output", type=Path, required=True, help="PNG file to write")
    args = parser.parse_args()
    ours = sorted(read_json(args.results).curve())
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.add_subplot()
    print("| against | BD-rate (PSNR) | over |\n|---|---:|---|")
    for name, label, colour in CURVES:
        curve = sorted(read_json(PUBLISHED / f"{name}.json").curve())
        axes.plot(*zip(*curve, strict=True), color=colour, linewidth=1.2, label=label)
        delta = bd_rate(curve, ours)
        if delta is not None:
            low, high = delta.overlap
            print(f"| {label} | {delta.value:+.1f} % | {low:.2f}–{high:.2f} dB |")
    axes.plot(*zip(*ours, strict=True), "o-", color=OURS, linewidth=2, label="SlimCAE, one model")
    for (bpp, psnr), width in zip(ours, sorted(_widths(args.results)), strict=True):
        axes.annotate(
            f"{width:g}", (bpp, psnr), xytext=(5, -12), textcoords="offset points", color=OURS
        )
    span = ours[-1][0] - ours[0][0]
    axes.set_xlim(0.05, ours[-1][0] + 0.15 * span)
    axes.set_ylim(ours[0][1] - 2.5, ours[-1][1] + 3.5)
    axes.set_xlabel("Rate (bits per pixel, whole files)")
    axes.set_ylabel("PSNR (dB), mean over the 24 Kodak images")
    axes.grid(color="#E3E3E3")
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[-1:] + handles[:-1], labels[-1:] + labels[:-1], frameon=False, fontsize=8.5)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(args.output) as temporary:
        figure.savefig(temporary, dpi=160, format="png")


def _widths(path: Path) -> list[float]:
    return [width for width in read_json(path).lists["width"] if width is not None]


if __name__ == "__main__":
    main()
