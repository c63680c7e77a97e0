"""Rate and quality: the tables of our widths and of BD-rates."""

from report.files import Sources
from report.markdown import signed, table
from slimcae.evaluation.bd_rate import BDResult, rate_at
from slimcae.evaluation.comparison import QUALITIES, bd_rates, curve_of


def rd_table(sources: Sources) -> str:
    """Return the table of our widths, with the difference in bits to JPEG at the same PSNR."""
    lists = sources.ours.lists
    anchor = curve_of(sources.others["JPEG"], "psnr-rgb")
    rows = []
    for k in reversed(range(len(lists["bpp"]))):
        width, bpp, psnr = (known(lists[name][k]) for name in ("setting", "bpp", "psnr-rgb"))
        jpeg = rate_at(anchor, psnr)
        rows.append(
            (
                f"{width:g}",
                f"{bpp:.4f}",
                f"{psnr:.2f}",
                f"{known(lists['ms-ssim-rgb'][k]):.4f}",
                "–" if jpeg is None else f"{signed(100 * (bpp / jpeg - 1), 0)} %",
            )
        )
    heads = ("width", "bits per pixel", "PSNR (dB)", "MS-SSIM", "bits against JPEG, same PSNR")
    return table(heads, rows)


def bd_table(sources: Sources) -> str:
    """Return the table of BD-rates, with a row for each other codec."""
    groups = (sources.others, {f"{n}, published": c for n, c in sources.published.items()})
    rows = []
    for group in groups:
        searched = bd_rates(sources.searched, group)
        for name, found in bd_rates(sources.ours, group).items():
            cells = [_bd_cell(found.get(quality)) for quality in QUALITIES]
            rows.append((name, *cells, _bd_cell(searched[name]["psnr-rgb"])))
    return table(("against", "PSNR", "MS-SSIM", "PSNR, `--effort 3`"), rows)


def effort_times(sources: Sources) -> str:
    """Return the sentence about the time of effort 3."""
    times = (found.lists["encoding_time"] for found in (sources.searched, sources.ours))
    ratios = [known(slow) / known(fast) for slow, fast in zip(*times, strict=True)]
    return (
        f"Encoding at effort 3 takes {min(ratios):.1f} to {max(ratios):.1f} times as long as at "
        "effort 2, the default; decoding takes the same time."
    )


def _bd_cell(found: BDResult | None) -> str:
    if found is None:
        return "–"
    low, high = found.overlap
    return f"{signed(found.value, 1)} % ({low:.1f}–{high:.1f} dB)"


def known(value: float | None) -> float:
    """Return a value that all our points have."""
    assert value is not None
    return value
