"""The figures of a benchmark: what its results say, as the series that the plots take."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from slimcae.evaluation.bd_rate import Curve, rate_at
from slimcae.evaluation.comparison import QUALITIES, curve_of
from slimcae.evaluation.results import Results
from slimcae.plots.bench import RDPanel, TimesPanel, plot_rd, plot_times

ANCHOR = "JPEG"
"""Whose rate is 100 % in the figure of times."""
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
    """Draw PSNR and, where there is one, MS-SSIM over the rate; references are dashed.

    labels: of the points of the first of our curves, which are named beside it. False if nothing
    can be drawn.

    Raises:
        OSError: the file cannot be written.
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
    """Draw bits at equal PSNR over the time of a picture; False if nothing can be drawn.

    A rate counts as a part of that of `ANCHOR` at the same PSNR. Of ours every point is shown; of
    the others the median over their points within our range of PSNR, and how far these reach. Below
    the subtitle stands what this means, and with which precision and threads ours ran.

    Raises:
        OSError: the file cannot be written.
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
    """The points of a curve by rising rate, without lossless ones."""
    return sorted(pair for pair in curve_of(results, quality) if math.isfinite(pair[1]))


def _relative(
    results: Results, way: str, anchor: Curve, reach: Sequence[float]
) -> dict[int, tuple[float, float]]:
    """Milliseconds and percent of the anchor's rate of all points in a range of PSNR, by number.

    Left out are points whose PSNR the anchor does not reach.
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
    """As in " (bfloat16, 2 threads)"; nothing where the description does not say it."""
    found = re.search(r"(\w+), threads: (\d+)", results.description)
    if not found:
        return ""
    precision, threads = found.groups()
    return f" ({precision}, {threads} thread{'' if threads == '1' else 's'})"
