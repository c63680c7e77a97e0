"""The figures of a benchmark: conversion of results to plot series."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from slimcae.evaluation.bd_rate import Curve, rate_at
from slimcae.evaluation.comparison import QUALITIES, curve_of
from slimcae.evaluation.results import Results
from slimcae.plots.bench import RDPanel, TimesPanel, plot_rd, plot_times

ANCHOR = "JPEG"
"""The codec whose rate is 100 % in the figure of times."""
WAYS = ("encoding", "decoding")


def draw_rd(
    path: Path,
    ours: Sequence[Results],
    others: Mapping[str, Results],
    references: Mapping[str, Results],
    *,
    labels: Sequence[str] = (),
    subtitle: str = "",
) -> bool:
    """Draw PSNR and, if available, MS-SSIM over the rate; references are dashed.

    Return False if there is nothing to draw.

    labels: labels of the points of our first curve.

    Raises:
        OSError: The file cannot be written.
    """
    panels = [
        RDPanel(
            label=f"{title} (dB)",
            ours={results.name: _finite(results, quality) for results in ours},
            others={name: _finite(results, quality) for name, results in others.items()},
            references={name: _finite(results, quality) for name, results in references.items()},
        )
        for quality, title in QUALITIES.items()
        if _finite(ours[0], quality)
    ]
    if panels:
        plot_rd(path, panels, labels=labels, subtitle=subtitle)
    return bool(panels)


def draw_times(
    path: Path,
    ours: Results,
    others: Mapping[str, Results],
    *,
    labels: Sequence[str] = (),
    subtitle: str = "",
) -> bool:
    """Draw bits at equal PSNR over the time per picture; return False if there is nothing to draw.

    Rates are relative to `ANCHOR` at the same PSNR. The plot shows every point of ours, and the
    median and range of other codecs over their points in our range of PSNR. The text below the
    subtitle explains this, and names our precision and threads.

    Raises:
        OSError: The file cannot be written.
    """
    reach = [value for _, value in _finite(ours, "psnr-rgb")]
    if ANCHOR not in others or not reach:
        return False
    anchor = curve_of(others[ANCHOR], "psnr-rgb")
    panels = []
    for way in WAYS:
        own = _relative(ours, way, anchor, reach)
        if not own:
            return False
        panel = TimesPanel(
            label=f"{way}, ms per picture (median)",
            own=list(own.values()),
            labels=[labels[number] for number in own if number < len(labels)],
            others={
                name: list(_relative(found, way, anchor, reach).values())
                for name, found in others.items()
            },
        )
        panels.append(panel)
    lines = (
        subtitle,
        f"{ours.name}{_how(ours)}: a point for each width.",
        "Others: medians over their settings in the same range of PSNR; "
        "bars: fewest to most bits of these.",
    )
    plot_times(
        path,
        panels,
        own_name=ours.name,
        bits_label=f"bits at equal PSNR ({ANCHOR} = 100 %)",
        title="\n".join(lines),
    )
    return True


def _finite(results: Results, quality: str) -> list[tuple[float, float]]:
    """Return the points of a curve by increasing rate, without lossless ones."""
    return sorted(pair for pair in curve_of(results, quality) if math.isfinite(pair[1]))


def _relative(
    results: Results, way: str, anchor: Curve, reach: Sequence[float]
) -> dict[int, tuple[float, float]]:
    """Return milliseconds and % of the anchor's rate of the points in a range of PSNR, by index.

    Points whose PSNR the anchor does not reach are left out.
    """
    lists = (results.lists[key] for key in ("bpp", "psnr-rgb", f"{way}_time"))
    found = {}
    for number, (rate, psnr, seconds) in enumerate(zip(*lists, strict=True)):
        if rate is None or psnr is None or seconds is None:
            continue
        reference = rate_at(anchor, psnr)
        if reference is not None and min(reach) - 0.5 <= psnr <= max(reach) + 0.5:
            found[number] = 1000 * seconds, 100 * rate / reference
    return found


def _how(results: Results) -> str:
    """Return for example " (bfloat16, 2 threads)"; empty if the description lacks these facts."""
    found = re.search(r"(\w+), threads: (\d+)", results.description)
    if not found:
        return ""
    precision, threads = found.groups()
    return f" ({precision}, {threads} thread{'' if threads == '1' else 's'})"
