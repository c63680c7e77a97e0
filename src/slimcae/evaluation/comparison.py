"""Text of a benchmark: a table of all points, and BD-rates."""

from collections.abc import Mapping, Sequence

from slimcae.evaluation.bd_rate import METHOD, BDResult, Curve, bd_rate
from slimcae.evaluation.measure import RDPoint
from slimcae.evaluation.metrics import ms_ssim_db
from slimcae.evaluation.results import Results

QUALITIES = {"psnr-rgb": "PSNR", "ms-ssim-db-rgb": "MS-SSIM"}
"""Lists of results in dB, used for BD-rates and plots, and their display names."""

_HEADINGS = ("codec", "point", "bpp", "PSNR dB", "MS-SSIM", "dB", "encode ms", "decode ms")


def curve_of(results: Results, quality: str) -> Curve:
    """Return pairs for `bd_rate`; MS-SSIM that is not in dB is converted to dB."""
    if quality == "ms-ssim-db-rgb" and quality not in results.lists:
        return [(bpp, ms_ssim_db(value)) for bpp, value in results.curve("ms-ssim-rgb")]
    return results.curve(quality)


def format_table(curves: Sequence[Sequence[RDPoint]]) -> str:
    """Return a table of all points, one line each, with codecs in separate blocks."""
    rows = [
        [
            (
                point.codec,
                point.label,
                f"{point.bpp:.4f}",
                f"{point.psnr:.2f}",
                "–" if point.ms_ssim is None else f"{point.ms_ssim:.4f}",
                "–" if point.ms_ssim_db is None else f"{point.ms_ssim_db:.2f}",
                f"{1000 * point.encode_seconds:.1f}",
                f"{1000 * point.decode_seconds:.1f}",
            )
            for point in points
        ]
        for points in curves
    ]
    cells = [_HEADINGS, *(row for block in rows for row in block)]
    sizes = [max(map(len, column)) for column in zip(*cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        texts = [row[k].ljust(sizes[k]) if k < 2 else row[k].rjust(sizes[k]) for k in range(8)]
        return "  ".join(texts).rstrip()

    blocks = ["\n".join(map(line, block)) for block in rows]
    return "\n\n".join([line(_HEADINGS) + "\n" + blocks[0], *blocks[1:]])


def bd_rates(ours: Results, others: Mapping[str, Results]) -> dict[str, dict[str, BDResult | None]]:
    """Return our BD-rate against each other codec, by name and quality; None without overlap."""
    return {
        name: {
            quality: bd_rate(curve_of(other, quality), curve_of(ours, quality))
            for quality in QUALITIES
            if curve_of(other, quality) and curve_of(ours, quality)
        }
        for name, other in others.items()
    }


def format_bd_rates(name: str, found: Mapping[str, Mapping[str, BDResult | None]]) -> str:
    """Return one line for each other codec."""
    lines = [f"BD-rate of {name}, negative where it needs fewer bits ({METHOD}), against"]
    size = max(map(len, found), default=0)
    for other, results in found.items():
        texts = [
            f"{QUALITIES[quality]} no overlap"
            if result is None
            else f"{QUALITIES[quality]} {result.value:+.1f} % "
            f"over {result.overlap[0]:.1f}–{result.overlap[1]:.1f} dB"
            for quality, result in results.items()
        ]
        lines.append(f"  {other.ljust(size)}  " + ", ".join(texts))
    return "\n".join(lines)
