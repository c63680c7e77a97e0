"""A benchmark's files: CSV, JSON in CompressAI's schema, and plots."""

import re
from collections.abc import Sequence
from pathlib import Path

from slimcae.evaluation.comparison import bd_rates, format_bd_rates, format_table
from slimcae.evaluation.figures import draw_rd, draw_times
from slimcae.evaluation.measure import RDPoint
from slimcae.evaluation.published import published
from slimcae.evaluation.report import write_errors
from slimcae.evaluation.results import COMMON_LISTS, to_results, write_csv, write_results

LISTS = COMMON_LISTS | {"setting": "setting"}
"""Lists in the JSON of each codec, and the fields of `RDPoint` in them."""

_COLUMNS = (
    "codec",
    "label",
    "setting",
    "bpp",
    "mse",
    "psnr",
    "ms_ssim",
    "ms_ssim_db",
    "encode_seconds",
    "decode_seconds",
)


def write_report(
    prefix: Path,
    curves: Sequence[Sequence[RDPoint]],
    settings: Sequence[str],
    num_ours: int,
    where: str,
    *,
    reference: bool,
    kodak: bool = False,
) -> str:
    """Write all files, and return the text to print.

    curves, settings: for each codec; the first `num_ours` are ours. where: images, machine and
    date. reference: draw published curves of codecs that were not measured. kodak: the images are
    those of the published curves, so BD-rates against these are meaningful.

    Raises:
        ConfigError: A file cannot be written.
    """
    descriptions = [f"{setting}; {where}" for setting in settings]
    results = [
        to_results(curve, description, LISTS)
        for curve, description in zip(curves, descriptions, strict=True)
    ]
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
        draw_rd(plot, ours, others, drawn, labels=labels, subtitle=where + dashed)
        plot = prefix.with_name(f"{prefix.name}_time.png")
        draw_times(plot, ours[0], others, labels=labels, subtitle=where)
    compared = {f"{name}, published": c for name, c in references.items()} if kodak else {}
    rivals = {result.name: result for result in ours[1:]} | others | compared
    deltas = format_bd_rates(ours[0].name, bd_rates(ours[0], rivals))
    lines = [
        f"  {points[0].codec}: {setting}" for points, setting in zip(curves, settings, strict=True)
    ]
    return "\n".join([where, "", format_table(curves), "", deltas, "", "settings", *lines])


def write_files(
    prefix: Path, curves: Sequence[Sequence[RDPoint]], descriptions: Sequence[str]
) -> None:
    """Write `<prefix>.csv` with all points and `<prefix>_<codec>.json` for each codec.

    Raises:
        OSError: a file cannot be written.
    """
    points = [point for curve in curves for point in curve]
    write_csv(prefix.with_name(f"{prefix.name}.csv"), points, {name: name for name in _COLUMNS})
    for curve, description in zip(curves, descriptions, strict=True):
        part = re.sub(r"[^a-z0-9]+", "-", curve[0].codec.lower()).strip("-")
        path = prefix.with_name(f"{prefix.name}_{part}.json")
        write_results(path, to_results(curve, description, LISTS))
