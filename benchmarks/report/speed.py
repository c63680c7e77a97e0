"""Times of whole calls compared with other codecs, and with what the processor can do."""

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from report.files import Sources
from report.markdown import table

BAR = (
    ("compress against CompressAI factorized N = 192", "encode", "CompressAI N=192", (50, 10)),
    ("decompress against CompressAI factorized N = 192", "decode", "CompressAI N=192", (35, 8)),
    ("compress against AVIF speed 6, quality 45", "encode", "AVIF speed 6, quality 45", (25, 6)),
    ("compress against AVIF speed 6, quality 75", "encode", "AVIF speed 6, quality 75", (20, 3)),
    ("compress against WebP method 4, quality 50", "encode", "WebP, quality 50", (2.5, None)),
)
"""Targets: label, direction, other codec, and the factors by which the narrowest and the widest
width should be faster."""


def times_table(sources: Sources) -> str:
    """Return the table of the milliseconds of every codec in the run."""
    rows = []
    for name, found in sources.peers["codecs"].items():
        cells = [
            "{:.1f} ({:.1f}–{:.1f})".format(
                *(1000 * codecs[name][way][part] for part in ("median", "low", "high"))
            )
            for codecs in (sources.peers["codecs"], sources.peers_avx2["codecs"])
            for way in ("encode", "decode")
        ]
        label = f"SlimCAE, width {name}" if name.isdigit() else name
        theirs = name.startswith("CompressAI")  # its bits are not those of trained weights
        rows.append((label, *cells, "–" if theirs else f"{found['bpp']:.3f}"))
    heads = ("encode, ms", "decode, ms", "AVX2: encode", "AVX2: decode", "bits per pixel")
    return table(("", *heads), rows)


def bar_table(sources: Sources) -> str:
    """Return the table of speed-ups of the narrowest and the widest width, and their targets."""
    widths = sources.widths
    rows = []
    for words, way, other, wanted in BAR:
        if other not in sources.peers["codecs"]:
            continue
        cells = []
        for width, bar in zip(widths, wanted, strict=True):
            low, median, high = ratios(sources.peers, way, other, width)
            missed = ", missed" if bar is not None and median < bar else ""
            asked = "" if bar is None else f" [≥ {bar:g} ×{missed}]"
            cells.append(f"{median:.1f} × ({low:.1f}–{high:.1f}){asked}")
        for width in widths:
            low, median, high = ratios(sources.peers_avx2, way, other, width)
            cells.append(f"{median:.1f} × ({low:.1f}–{high:.1f})")
        rows.append((words, *cells))
    heads = (f"width {width}{kind}" for kind in ("", ", AVX2") for width in widths)
    return table(("", *heads), rows)


def ratios(
    peers: Mapping[str, Any], way: str, other: str, width: int
) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile over the images of other's time / ours."""
    codecs = peers["codecs"]
    pairs = zip(codecs[other][way]["each"], codecs[f"{width}"][way]["each"], strict=True)
    low, median, high = statistics.quantiles([a / b for a, b in pairs], n=4, method="inclusive")
    return low, median, high


def limit_table(sources: Sources) -> str:
    """Return the table of network time divided by the limit of matrix products."""
    limits = (sources.peers["over_limit"], sources.peers_avx2["over_limit"])
    rows = [
        (width, *(f"{limit[width][way]:.2f}" for limit in limits for way in ("encode", "decode")))
        for width in limits[0]
    ]
    heads = ("analysis", "synthesis", "AVX2: analysis", "AVX2: synthesis")
    return table(("width", *heads), rows)


def profile_words(sources: Sources) -> str:
    """Return a sentence that compares the narrowest width with the widest."""
    rows = {row["width"]: row for row in sources.profile["widths"]}
    narrow, wide = (rows[width] for width in sources.widths)

    def over(name: str) -> str:
        return f"{wide[name] / narrow[name]:.1f} ×"

    text = (
        f"Width {wide['width']} takes {over('decoder_macs_per_pixel')} the multiply-accumulates of "
        f"width {narrow['width']}. Width {narrow['width']} is {over('encode_network_ms')} faster "
        f"in the network when it encodes and {over('decode_network_ms')} when it decodes, and "
        f"{over('encode_ms')} and {over('decode_ms')} in whole calls [target: 8 × in the network, "
        "5 × in whole calls]"
    )
    if narrow["decode_peak_bytes"]:
        text += (
            f". Its peak memory is {over('encode_peak_bytes')} and "
            f"{over('decode_peak_bytes')} lower"
        )
    return text + "."


def their_words(peers: Mapping[str, Any]) -> Iterable[str]:
    """Yield the notes about CompressAI in this run."""
    theirs = peers["theirs"]
    if theirs is None:
        return
    yield (
        f"CompressAI {theirs['compressai']} runs with torch {theirs['torch']}. Its trained weights "
        "could not be downloaded, so it uses its random initialisation, with latents scaled to a "
        "realistic spread and fitted entropy models (benchmarks/peers/theirs.py). Its times are "
        "therefore valid, but its rates are not."
    )
    largest = {
        name: max(found["largest_difference"][name] for found in peers["layers"])
        for name in peers["layers"][0]["largest_difference"]
    }
    words = {"gdn": "GDN", "igdn": "inverse GDN", "y_hat": "rounded latents"}
    numbers = ", ".join(f"{words.get(name, name)} {value:.1g}" for name, value in largest.items())
    yield (
        f"With random parameters ({len(peers['layers'])} seeds), its layers and ours give the same "
        f"results. The largest absolute differences are: {numbers}."
    )


def precision_of(peers: Mapping[str, Any]) -> str:
    """Return the precision of our network in this run."""
    precision: str = peers["ours"]["precision"]
    return precision


def matrix_rates(peers: Mapping[str, Any]) -> str:
    """Return the rates of large matrix products as text."""
    rates = ", ".join(
        f"{name} {rate['median'] / 1e9:.0f} GFLOP/s" for name, rate in peers["matrix_flops"].items()
    )
    return f"{rates}; the network runs in {precision_of(peers)}"
