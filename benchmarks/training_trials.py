"""Write the generated part of docs/results/trials/README.md, and its plot, from the files there.

    python benchmarks/training_trials.py      # or: make results

The script measures nothing. recipes/trials.sh and benchmarks/architecture_trials.py wrote the
files.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from report.markdown import signed, table, with_block

from slimcae.evaluation.bd_rate import bd_rate
from slimcae.evaluation.results import Results, read_json
from slimcae.model.config import GDN_VARIANTS, SlimCAEConfig
from slimcae.networks.slimcae import SlimCAE
from slimcae.plots.style import BLUE, GREY, VERMILION, new_figure, save, tidy

ROOT = Path(__file__).parents[1]
TRIALS = ROOT / "docs" / "results" / "trials"
PAGE = TRIALS / "README.md"
SLOPE = 0.0995
"""Decades of rate per dB, typical of rate–distortion curves near these points."""
LISTS = {
    "equal": "λ equal (“naive”)",
    "fixed": "fixed list",
    "scheduled": "λ-scheduling",
}


def main() -> None:
    """Write the page and its plot."""
    draw(ROOT / "docs" / "figures")
    PAGE.write_text(with_block(PAGE.read_text(encoding="utf-8"), block()), encoding="utf-8")


def block() -> str:
    """Return the generated part of the page: plot and tables."""
    lists = {words: read_json(TRIALS / f"{name}.json") for name, words in LISTS.items()}
    variants: dict[str, Results] = {
        name: read_json(TRIALS / f"gdn-{name}.json") for name in GDN_VARIANTS
    }
    return "\n\n".join(
        [
            "## λ-scheduling",
            "![The three models on the validation pictures](../../figures/schedule.png)",
            points_table(lists),
            "Cells contain λ: bits per pixel / PSNR (dB). BD-rates are relative to the first row.",
            "## Variants of GDN",
            points_table(variants),
            parameters_words(),
            "## Variants of the architecture `light`",
            *(architecture_words(lines) for lines in architecture_trials()),
        ]
    )


def draw(folder: Path) -> None:
    """Draw the rate–distortion curves of the λ lists."""
    figure = new_figure(6.4, 4.4)
    axes = figure.add_subplot()
    styles = (("o", "--", GREY), ("s", "-", BLUE), ("D", "-", VERMILION))
    for (name, words), (marker, dash, colour) in zip(LISTS.items(), styles, strict=True):
        found = read_json(TRIALS / f"{name}.json")
        rates, decibels = zip(*found.curve(), strict=True)
        axes.plot(rates, decibels, dash, marker=marker, color=colour, label=words)
    for width, rate, decibel in zip(found.lists["width"], rates, decibels, strict=True):
        axes.annotate(f"{width:g}", (rate, decibel), (6, -11), textcoords="offset points")
    axes.set_xlabel("Rate (bits per pixel)")
    axes.set_ylabel("PSNR (dB)")
    axes.set_title("24 validation pictures; each point is a width", fontsize=10)
    axes.legend(frameon=False)
    tidy(axes)
    save(figure, folder / "schedule.png")


def points_table(models: Mapping[str, Results]) -> str:
    """Return a table of models and widths, with BD-rates against the first model."""
    first = next(iter(models.values()))
    rows = []
    for name, found in models.items():
        gain = bd_rate(first.curve(), found.curve())
        assert gain is not None, "curves far apart: no BD-rate"
        columns = (found.lists[key] for key in ("lambda", "bpp", "psnr-rgb"))
        cells = [f"{x:.0f}: {bpp:.3f} / {db:.2f}" for x, bpp, db in zip(*columns, strict=True)]
        rows.append([name, *cells, f"{signed(gain.value, 1)} %"])
    return table(["", *(f"{width:g}" for width in first.lists["width"]), "BD-rate"], rows)


def architecture_trials() -> list[list[dict[str, Any]]]:
    """Return the lines of the trials for each width, narrowest first, in the order of trial."""
    text = (TRIALS / "architecture.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    widths = sorted({line["width"] for line in lines})
    return [[line for line in lines if line["width"] == width] for width in widths]


def architecture_words(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of one width, best variant first, with a caption."""
    base = next(line for line in lines if line["variant"] == "base")
    rows = []
    for line in sorted(lines, key=lambda line: rate_at_equal_psnr(line, base)):
        rows.append(
            (
                line["variant"],
                " / ".join(f"{kmacs:.2f}" for kmacs in line["kmacs"]),
                f"{line['step_cost']:.2f}",
                f"{line['bpp']:.4f} / {line['psnr']:.2f}",
                f"{signed(rate_at_equal_psnr(line, base), 1)} %",
                f"{line['grid']:.2f}",
                " / ".join(f"{milliseconds:.0f}" for milliseconds in line["milliseconds"]),
            )
        )
    heads = ("variant", "kMAC", "relative time of a step", "bpp / PSNR", "rate", "grid", "ms")
    return (
        f"Width {base['width']}, λ {base['lambda']:g}, {base['steps']:,} steps of `base`:\n\n"
        + table(heads, rows)
    )


def rate_at_equal_psnr(line: Mapping[str, Any], base: Mapping[str, Any]) -> float:
    """Return the change of the rate in %, moved to the PSNR of the base along `SLOPE`."""
    moved = line["bpp"] * 10 ** (SLOPE * (base["psnr"] - line["psnr"]))
    return float(100 * (moved / base["bpp"] - 1))


def parameters_words() -> str:
    """Return the total number of parameters of each variant as text."""
    counts = {
        name: sum(
            p.numel() for p in SlimCAE(SlimCAEConfig(gdn=name), initialise=False).parameters()
        )
        for name in GDN_VARIANTS
    }
    return "Parameters: " + ", ".join(f"{name} {n / 1e6:.2f} M" for name, n in counts.items()) + "."


if __name__ == "__main__":
    main()
