"""Time and bits of each effort."""

import re
from collections.abc import Mapping
from typing import Any

from report.markdown import signed, table
from slimcae.evaluation.bd_rate import METHOD, bd_rate

EffortPoint = tuple[float, float, str]
"""Seconds per megapixel, % of bytes at equal PSNR, and the setting."""


def effort_series(
    found: Mapping[str, Any],
) -> tuple[dict[str, list[EffortPoint]], dict[str, list[EffortPoint]]]:
    """Return seconds per megapixel and BD-rate against effort 2, by width and by other codec."""
    ours: dict[str, list[EffortPoint]] = {}
    others: dict[str, list[EffortPoint]] = {}
    for key, row in found["ours"].items():
        width, _, effort = key.partition("/")
        point = _effort_point(row["anchor"], row, effort)
        ours.setdefault(f"width {width}", []).append(point)
    for name, row in found["others"].items():
        codec, kind, setting = re.split(" (speed|effort) ", name)
        family = {n: r for n, r in found["others"].items() if n.startswith(f"{codec} {kind}")}
        fastest = min(family.values(), key=lambda each: float(each["seconds_per_megapixel"]))
        others.setdefault(codec, []).append(_effort_point(fastest, row, setting))
    by_width = sorted(ours.items(), key=lambda item: int(item[0].split()[1]))
    return dict(by_width), others


def _effort_point(anchor: Mapping[str, Any], row: Mapping[str, Any], label: str) -> EffortPoint:
    curves = [[(rate, quality) for rate, quality in each["curve"]] for each in (anchor, row)]
    delta = bd_rate(curves[0], curves[1])
    return row["seconds_per_megapixel"], 0.0 if delta is None else delta.value, label


def effort_words(found: Mapping[str, Any]) -> list[str]:
    """Return the section about time and BD-rate of each effort."""
    rows = []
    for name, series in effort_series(found)[0].items():
        width = name.split()[1]
        for seconds, percent, effort in sorted(series, key=lambda point: int(point[2])):
            row = found["ours"][f"{width}/{effort}"]
            plain = row["anchor"]["seconds_per_megapixel"]
            rows.append(
                (
                    width,
                    effort,
                    f"{signed(percent, 1)} %",
                    f"{seconds:.2f}",
                    f"{seconds / plain:.1f}",
                    f"{100 * row['changed']:.1f} %",
                    str(len(row["images"])),
                )
            )
    heads = (
        "width",
        "effort",
        "BD-rate",
        "s per megapixel",
        "x effort 2",
        "symbols changed",
        "images",
    )
    return [
        "## Effort",
        "BD-rates compare bytes at equal PSNR with effort 2 of the same weights, which rounds to "
        f"the nearest integers ({METHOD}, over steps Δ from 0.54 to 1.98); {found['model']}, "
        f"{found['machine']}, {found['runtime']}, threads: {found['threads']}, "
        f"{found['clock']} time, {found['date'][:10]}. "
        "Rows of fewer images are compared with effort 2 of the same images. AVIF and JPEG XL are "
        "compared with their own fastest settings.",
        "![Bytes saved against seconds](figures/effort.png)",
        table(heads, rows),
    ]
