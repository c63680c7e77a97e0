"""A benchmark's files: CSV, JSON in CompressAI's schema, and plots."""

import csv
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from slimcae.evaluation.comparison import bd_rates, format_bd_rates, format_table
from slimcae.evaluation.measure import BenchPoint
from slimcae.evaluation.published import published
from slimcae.evaluation.report import write_errors
from slimcae.evaluation.results import Results, write_results
from slimcae.files import atomic_path
from slimcae.plots.bench import plot_rd, plot_times

_LISTS = {
    "bpp": "bpp",
    "psnr-rgb": "psnr",
    "ms-ssim-rgb": "ms_ssim",
    "ms-ssim-db-rgb": "ms_ssim_db",
    "encoding_time": "encode_seconds",
    "decoding_time": "decode_seconds",
    "mse": "mse",
    "setting": "setting",
}
"""List in CompressAI's schema, or beside it: field of `BenchPoint`."""


def write_report(
    prefix: Path,
    curves: Sequence[Sequence[BenchPoint]],
    settings: Sequence[str],
    num_ours: int,
    where: str,
    *,
    reference: bool,
    kodak: bool = False,
) -> str:
    """Write all files, and return what to print.

    curves, settings: of each codec, the first `num_ours` being ours. where: images, machine and
    date. reference: draw published curves, of codecs that were not measured. kodak: the images are
    those of the published curves, so that BD-rates against these mean something.

    Raises:
        ConfigError: a file cannot be written.
    """
    descriptions = [f"{setting}; {where}" for setting in settings]
    results = [to_results(*pair) for pair in zip(curves, descriptions, strict=True)]
    ours, others = results[:num_ours], {result.name: result for result in results[num_ours:]}
    names = {name.partition(" speed")[0].partition(" effort")[0] for name in others}
    references = {
        name: curve
        for name, curve in (published() if reference else {}).items()
        if name not in names
    }
    drawn = references if kodak else {f"{name} (on Kodak)": c for name, c in references.items()}
    dashed = "\ndashed: published curves" if references else ""
    labels = [point.label.rpartition(" ")[2] for point in sorted(curves[0], key=lambda p: p.bpp)]
    with write_errors(prefix):
        write_files(prefix, curves, descriptions)
        plot = prefix.with_name(f"{prefix.name}_rd.png")
        plot_rd(plot, ours, others, drawn, labels=labels, subtitle=where + dashed)
        plot = prefix.with_name(f"{prefix.name}_time.png")
        plot_times(plot, ours[0], others, labels=labels, subtitle=where)
    compared = {f"{name}, published": c for name, c in references.items()} if kodak else {}
    deltas = format_bd_rates(ours[0].name, bd_rates(ours[0], others | compared))
    lines = [
        f"  {points[0].codec}: {setting}" for points, setting in zip(curves, settings, strict=True)
    ]
    return "\n".join([where, "", format_table(curves), "", deltas, "", "settings", *lines])


def to_results(points: Sequence[BenchPoint], description: str) -> Results:
    """One codec's points, sorted by rate."""
    ordered = sorted(points, key=lambda point: point.bpp)
    lists = {key: tuple(getattr(p, field) for p in ordered) for key, field in _LISTS.items()}
    return Results(points[0].codec, description, lists)


def write_files(
    prefix: Path, curves: Sequence[Sequence[BenchPoint]], descriptions: Sequence[str]
) -> None:
    """Write `<prefix>.csv` with all points and `<prefix>_<codec>.json` for each codec.

    Raises:
        OSError: a file cannot be written.
    """
    names = [field.name for field in dataclasses.fields(BenchPoint)]
    with (
        atomic_path(prefix.with_name(f"{prefix.name}.csv")) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for points in curves:
            writer.writerows(dataclasses.astuple(point) for point in points)
    for points, description in zip(curves, descriptions, strict=True):
        part = re.sub(r"[^a-z0-9]+", "-", points[0].codec.lower()).strip("-")
        path = prefix.with_name(f"{prefix.name}_{part}.json")
        write_results(path, to_results(points, description))
