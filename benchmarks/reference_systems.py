"""Write the measured part of docs/reference-systems.md, and its plots, from its result files.

    python benchmarks/reference_systems.py      # or: make results

Measures nothing: the files in docs/results/reference-systems are what recipes/reference_systems.sh
wrote. Where there are none, the page says that it has not been run.
"""

import csv
import json
import math
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from report.markdown import signed, table, with_block

from slimcae.evaluation.bd_rate import bd_rate
from slimcae.evaluation.report import NO_MS_SSIM
from slimcae.evaluation.results import Results, read_json
from slimcae.model.model import DEFAULT_EFFORT
from slimcae.plots.evaluation import ModelSeries, plot_all

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results" / "reference-systems"
PAGE = ROOT / "docs" / "reference-systems.md"
FIGURES = ROOT / "docs" / "figures"
STEM = "reference-systems"
PLOTS = ("rd_psnr", "macs", "time")
SYSTEMS = {
    "full": "independent, widest width",
    "independent": "independent, a width per λ",
    "scaling": "bottleneck scaling",
    "modulated": "modulated autoencoder",
    "naive": "SlimCAE, λ equal",
    "fixed": "SlimCAE, fixed list of λ",
    "hyperprior": "SlimCAE, hyperprior",
    "independent-hyperprior": "independent, hyperprior",
}
"""By the recipe's names; the first is what BD-rates are against."""
CHOICES = {
    "naive": "the beginning",
    "naive-more": "λ stay equal",
    "fixed-more": "fixed list of λ",
    "scheduled": "λ-scheduling",
}
"""The ways to choose λ, from one model at equal λ on; BD-rates are against it."""
NOT_RUN = (
    "`recipes/reference_systems.sh` has not been run yet, so there is no figure to show. It "
    "takes about two hours on two idle cores; then `make results` puts plots and tables here."
)
CELLS = (
    "Each cell contains bits per pixel / PSNR (dB) of an operating point, as means over "
    "validation pictures. BD-rates are against the first row."
)
OF_HYPERPRIORS = (
    "Parameters and multiply-accumulates are those of transforms and densities. A hyperprior of "
    "192 channels has 4.35 million weights beside them, which take a byte each in a file, for "
    "every point; its h_s takes 2.4 kMAC per pixel of the decoder. Both fall with the square of "
    "the channels. Model files, times and memory count it."
)


class System(NamedTuple):
    """One system: its curve, what its model file says, and what each point costs."""

    results: Results
    info: Mapping[str, Any]
    costs: Sequence[Mapping[str, Any]]


def main() -> None:
    """Write everything."""
    systems = read(FOLDER)
    if systems:
        draw(systems, FIGURES)
    PAGE.write_text(with_block(PAGE.read_text(encoding="utf-8"), block(systems)), encoding="utf-8")


def read(folder: Path) -> dict[str, System]:
    """Return the systems that were measured, by name."""
    found = {}
    for name in SYSTEMS | CHOICES:
        path = folder / f"{name}.json"
        if path.exists():
            info, profile = (
                json.loads((folder / f"{name}.{part}.json").read_text(encoding="utf-8"))
                for part in ("info", "profile")
            )
            costs = [row for row in profile["widths"] if row["effort"] == DEFAULT_EFFORT]
            found[name] = System(read_json(path), info, costs)
    return found


def block(systems: Mapping[str, System], folder: Path = FOLDER) -> str:
    """What is measured: plots and tables, or that nothing is."""
    if not systems:
        return NOT_RUN
    parts = [
        f"![Rate and quality](figures/{STEM}_rd_psnr.png)",
        curves_table(systems, SYSTEMS),
        CELLS,
        f"![Quality and multiply-accumulates](figures/{STEM}_macs.png)",
        f"![Quality and time](figures/{STEM}_time.png)",
        costs_table(systems),
        "Ranges go from the point of the fewest bits to the best. Times and peak memory are those "
        "of a picture of 768×512 pixels.",
        *([OF_HYPERPRIORS] if any("hyperprior" in name for name in systems) else []),
    ]
    if len(CHOICES.keys() & systems.keys()) > 1:
        parts += [
            f"![Choices of λ](figures/{STEM}_lambda_rd_psnr.png)",
            curves_table(systems, CHOICES),
            "BD-rates are against the first row, the model that all others begin with.",
        ]
    if "scheduled" in systems:
        parts.append(f"λ-scheduling ended with λ {found_lmbda(systems['scheduled'])}.")
    if (folder / "noise.csv").exists():
        parts.append(noise_words(folder))
    return "\n\n".join(parts)


def curves_table(systems: Mapping[str, System], names: Mapping[str, str]) -> str:
    """A row for each named system: its points, and the BD-rate against the first."""
    chosen = _named(systems, names)
    first = chosen[0][1].results
    rows = []
    for name, system in chosen:
        lists = system.results.lists
        pairs = zip(lists["bpp"], lists["psnr-rgb"], strict=True)
        cells = [f"{bpp:.3f} / {psnr:.2f}" for bpp, psnr in pairs]
        gain = bd_rate(first.curve(), system.results.curve())
        bd = "no overlap" if gain is None else f"{signed(gain.value, 1)} %"
        rows.append([name, *cells, bd])
    points = max(len(row) for row in rows) - 2
    heads = ["", *(f"point {k}" for k in range(1, points + 1)), "BD-rate"]
    return table(heads, [[*row[:-1], *[""] * (points + 2 - len(row)), row[-1]] for row in rows])


def costs_table(systems: Mapping[str, System]) -> str:
    """A row for each system: parameters, file, work, time and memory."""
    rows = []
    for name, system in _named(systems, SYSTEMS):
        info, costs = system.info, system.costs[::-1]

        def span(key: str, unit: float, digits: int, costs: Sequence[Any] = costs) -> str:
            ends = [costs[0][key], costs[-1][key]]
            texts = ["–" if end is None else f"{end / unit:.{digits}f}" for end in ends]
            return " … ".join(dict.fromkeys(texts))

        rows.append(
            [
                name,
                f"{info['parameters'] / 1e6:.2f}",
                f"{info['bytes'] / 1e6:.1f}",
                span("decoder_macs_per_pixel", 1e3, 1),
                span("encode_ms", 1, 0),
                span("decode_ms", 1, 0),
                span("encode_peak_bytes", 1e6, 0),
                span("decode_peak_bytes", 1e6, 0),
                ", ".join(dict.fromkeys(cost["entropy_model"] for cost in costs)),
            ]
        )
    heads = ["", "parameters, M", "model file, MB", "decoder, kMAC per pixel", "encode, ms",
             "decode, ms", "peak encoding, MB", "peak decoding, MB", "coded with"]  # fmt: skip
    return table(heads, rows)


def found_lmbda(system: System) -> str:
    """The λ of a system, best point first."""
    return ", ".join(f"{value:.0f}" for value in reversed(system.results.lists["lambda"]))


def noise_words(folder: Path) -> str:
    """How much slopes change from try to try with λ as they are, and when they fall."""
    found = {}
    for name in ("noise", "schedule"):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))[1:]
        found[name] = [abs(float(row["slope"]) - float(row["slope_target"])) for row in rows]
    noise, schedule = (statistics.median(found[name]) for name in ("noise", "schedule"))
    return (
        f"From one try to the next the slope between two widths changes by {schedule:.2f} dB per "
        f"bpp (median of {len(found['schedule'])} tries) where λ are scheduled, and by "
        f"{noise:.2f} where they stay as they are ({len(found['noise'])} tries): that is its noise."
    )


def draw(systems: Mapping[str, System], folder: Path) -> None:
    """Draw the plots of the page."""
    for names, stem, plots in ((SYSTEMS, STEM, PLOTS), (CHOICES, f"{STEM}_lambda", PLOTS[:1])):
        series = [_series(name, system.results) for name, system in _named(systems, names)]
        with TemporaryDirectory() as made:
            plot_all(Path(made) / stem, series, NO_MS_SSIM)
            for plot in plots:
                shutil.copyfile(Path(made) / f"{stem}_{plot}.png", folder / f"{stem}_{plot}.png")


def _named(systems: Mapping[str, System], names: Mapping[str, str]) -> list[tuple[str, System]]:
    """Return the measured systems among some, with the names that readers see."""
    return [(name, systems[key]) for key, name in names.items() if key in systems]


def _series(name: str, results: Results) -> ModelSeries:
    lists = results.lists
    seconds = {key: lists[f"{key}_time"] for key in ("encoding", "decoding")}
    return ModelSeries(
        name=name,
        widths=[_number(value) for value in lists["width"]],
        lmbda=lists["lambda"],
        bpp=[_number(value) for value in lists["bpp"]],
        mse=lists["mse"],
        psnr=lists["psnr-rgb"],
        ms_ssim=lists["ms-ssim-rgb"],
        ms_ssim_db=lists["ms-ssim-db-rgb"],
        encoder_macs=lists["encoder-macs-per-pixel"],
        decoder_macs=lists["decoder-macs-per-pixel"],
        encode_ms=[1000 * _number(value) for value in seconds["encoding"]],
        decode_ms=[1000 * _number(value) for value in seconds["decoding"]],
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


if __name__ == "__main__":
    main()
