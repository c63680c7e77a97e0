"""Write docs/results.md, its plots, and the table of README.md from the committed result files.

    python benchmarks/make_results.py      # or: make results

The script measures nothing. The commands at the end of docs/results.md wrote the files in
docs/results. The page includes docs/results/ideas.md if it exists.
"""

import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slimcae.cli.profile import format_table
from slimcae.evaluation.bd_rate import METHOD, BDResult, bd_rate, rate_at
from slimcae.evaluation.comparison import QUALITIES, bd_rates, curve_of
from slimcae.evaluation.figures import draw_rd, draw_times
from slimcae.evaluation.published import published
from slimcae.evaluation.results import Results, read_json
from slimcae.plots.effort import plot_effort
from slimcae.plots.profile import plot_complexity

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
BENCH = RESULTS / "kodak"
MARKS = "<!-- made by `make results` from here -->", "<!-- to here -->"
CODECS = ("jpeg", "webp", "jpeg-2000", "avif-speed-6", "avif-speed-8", "avif-speed-9",
          "avif-speed-10", "jpeg-xl-effort-1", "jpeg-xl-effort-3", "jpeg-xl-effort-7")  # fmt: skip

EffortPoint = tuple[float, float, str]
"""Seconds per megapixel, % of bytes at equal PSNR, and the setting."""

BAR = (
    ("compress against CompressAI factorized N = 192", "encode", "CompressAI N=192", (50, 10)),
    ("decompress against CompressAI factorized N = 192", "decode", "CompressAI N=192", (35, 8)),
    ("compress against AVIF speed 6, quality 45", "encode", "AVIF speed 6, quality 45", (25, 6)),
    ("compress against AVIF speed 6, quality 75", "encode", "AVIF speed 6, quality 75", (20, 3)),
    ("compress against WebP method 4, quality 50", "encode", "WebP, quality 50", (2.5, None)),
)
"""Targets: label, direction, other codec, and the factors by which the narrowest and the widest
width should be faster."""


def main() -> None:
    """Write the page, its plots, and the table of README.md."""
    sources = Sources()
    figures = ROOT / "docs" / "figures"
    figures.mkdir(exist_ok=True)
    draw(sources, figures)
    (ROOT / "docs" / "results.md").write_text(page(sources), encoding="utf-8")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(with_block(text, readme_block(sources)), encoding="utf-8")
    if sources.many_pictures is not None:
        costs = ROOT / "docs" / "million-photos.md"
        text = costs.read_text(encoding="utf-8")
        block = many_pictures_block(sources.many_pictures)
        costs.write_text(with_block(text, block), encoding="utf-8")


class Sources:
    """The results in a folder, as read from its files."""

    def __init__(self, folder: Path = RESULTS) -> None:
        self.ours, self.others = _bench(folder / "kodak")
        self.searched = _searched(folder / "kodak")
        self.ours_avx2, self.others_avx2 = _bench(folder / "avx2" / "kodak")
        self.published = published()
        self.peers = _load(folder / "peers.json")
        self.peers_avx2 = _load(folder / "avx2" / "peers.json")
        self.profile = _load(folder / "profile.json")
        self.profile_avx2 = _load(folder / "avx2" / "profile.json")
        self.training = _load(folder / "training.json")
        self.start_up = _load(folder / "start_up.json")
        self.backends = _load(folder / "backends.json")
        self.backends_avx2 = _load(folder / "avx2" / "backends.json")
        effort = folder / "effort.json"
        self.effort = _load(effort) if effort.exists() else None
        many = folder / "many_pictures.json"
        self.many_pictures = _load(many) if many.exists() else None
        ideas = folder / "ideas.md"
        self.ideas = ideas.read_text(encoding="utf-8").strip() if ideas.exists() else ""

    @property
    def widths(self) -> tuple[int, int]:
        """The narrowest and the widest width."""
        widths = self.peers["ours"]["widths"]
        return widths[-1], widths[0]


def draw(sources: Sources, folder: Path) -> None:
    """Draw the plots of the page."""
    labels = [f"{width:g}" for width in sources.ours.lists["setting"] if width is not None]
    measured = ("JPEG", "WebP", "JPEG 2000", "AVIF speed 6", "AVIF speed 8")
    references = {
        name: sources.published[name] for name in ("VVC (VTM)", "BPG", "Factorized prior")
    }
    draw_rd(
        folder / "kodak.png",
        [sources.ours],
        {name: sources.others[name] for name in measured},
        references,
        labels=labels,
        subtitle="Kodak, 24 images, whole files; dashed: published curves",
    )
    for name, ours, others in (
        ("times.png", sources.ours, sources.others),
        ("times-avx2.png", sources.ours_avx2, sources.others_avx2),
    ):
        draw_times(folder / name, ours, others, labels=labels, subtitle=f"Kodak, {_where(ours)}")
    title = "What a width costs: 768x512 pixels, threads: {threads}, {precision}, {machine}"
    plot_complexity(
        folder / "profile.png", sources.profile["widths"], title.format(**sources.profile)
    )
    if sources.effort is not None:
        widths, rivals = effort_series(sources.effort)
        title = "What encoding longer saves: {model}, threads: {threads}, {clock} time, {machine}"
        plot_effort(folder / "effort.png", widths, rivals, title.format(**sources.effort))


def page(sources: Sources) -> str:
    """Return the text of docs/results.md."""
    peers, avx2 = sources.peers, sources.peers_avx2
    return (
        "\n\n".join(
            [
                "# Results",
                "This page compares rate, quality and speed of SlimCAE with other codecs, and "
                "shows memory, start-up times and training speed. The last section explains how "
                "to reproduce the measurements. `make results` generates the page from the files "
                "in `docs/results`.",
                "## Rate and quality",
                "![Rate and quality on Kodak](figures/kodak.png)",
                rd_table(sources),
                "The next table shows BD-rates, which are negative where SlimCAE needs fewer bits "
                f"({METHOD}, over the range of quality that both curves have). The first rows were "
                "measured with the same pictures; the others use published curves. JPEG was "
                "measured here with optimised Huffman tables, which the published curve lacks.",
                bd_table(sources),
                *searched_words(sources),
                "The other codecs have these settings:",
                _list(f"{found.name}: {_settings(found)}" for found in sources.others.values()),
                "## Speed compared with other codecs",
                "Times are those of whole calls, from 8-bit pixels to the bytes of a file and "
                "back, warm. All codecs take turns picture by picture in one run: "
                f"{peers['images']} Kodak images, {peers['machine']}, threads: {peers['threads']}, "
                f"{peers['model']}, {peers['date'][:10]}. "
                + _PROCESSORS.format(native=_precision(peers), avx2=_precision(avx2)),
                times_table(sources),
                *_their_words(peers),
                "The next table shows how many times faster SlimCAE is: the median over the "
                "images, and the quartiles in parentheses. Square brackets contain this project's "
                "targets.",
                bar_table(sources),
                "![Bits at equal quality, and time](figures/times.png)",
                "![The same without AVX-512](figures/times-avx2.png)",
                "The next table shows the time of the network divided by the time that its "
                "multiplications take at the rate of large matrix products in the same precision "
                f"(1 is the limit; {_rates(peers)}; without AVX-512 {_rates(avx2)}):",
                limit_table(sources),
                "## Time and memory of each width",
                "![Times and memory of each width](figures/profile.png)",
                "`slimcae profile` measured the tables below. Rows with `e1` are for `--effort 1`. "
                "Peak memory is in addition to that of the program; `comp.` is the computed "
                "estimate for decoding, which `slimcae info` also shows.",
                "\n".join(["```text", format_table(sources.profile), "```"]),
                profile_words(sources),
                "\n".join(["```text", format_table(sources.profile_avx2), "```"]),
                *([] if sources.effort is None else effort_words(sources.effort)),
                "## ONNX Runtime compared with PyTorch",
                *backends_words(sources),
                "## Start-up time",
                start_table(sources.start_up),
                "## Training speed",
                *training_words(sources.training),
                *(["## Effect of each optimisation", sources.ideas] if sources.ideas else []),
                "## Reproduce the results",
                _AGAIN,
            ]
        )
        + "\n"
    )


_PROCESSORS = """\
In the first run ONNX Runtime, the default, runs our network in {native}. The second run imitates
processors with AVX2 but without AVX-512 and bfloat16: on the same machine, torch runs the network
in {avx2} and is limited to AVX2 (`ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2`). ONNX Runtime
cannot be limited. The other codecs choose their instructions themselves, so their times show how
similar the two runs are."""

_AGAIN = """\
Run these commands on an otherwise idle machine, with the Kodak images in a folder KODAK and
training images in TRAIN:

    slimcae bench KODAK --effort 2 1 3 --reference \\
        --report_path docs/results/kodak/bench   # 6 minutes
    rm docs/results/kodak/*.png
    python benchmarks/peers/make_environment.py                               # once, 5.8 GB
    python benchmarks/peers/run.py KODAK -o docs/results/peers.json           # 3 minutes
    slimcae profile -o results/profile.json -y --json > docs/results/profile.json
    python benchmarks/start_up.py PHOTO -o docs/results/start_up.json         # 1 minute
    python benchmarks/backends.py PHOTO -o docs/results/backends.json         # 2 minutes
    python benchmarks/effort.py KODAK -o docs/results/effort.json             # hours
    python benchmarks/training_throughput.py --images TRAIN --compile -o docs/results/training.json
    export ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2     # imitates the other processor
    slimcae bench KODAK --backend torch --report_path docs/results/avx2/kodak/bench
    rm docs/results/avx2/kodak/*.png docs/results/avx2/kodak/*.csv
    python benchmarks/peers/run.py KODAK --backend torch -o docs/results/avx2/peers.json
    python benchmarks/backends.py PHOTO --no_processes -o docs/results/avx2/backends.json
    slimcae profile --backend torch -o results/avx2.json -y --json > docs/results/avx2/profile.json

    make results"""


def rd_table(sources: Sources) -> str:
    """Return the table of our widths, with the difference in bits to JPEG at the same PSNR."""
    lists = sources.ours.lists
    anchor = curve_of(sources.others["JPEG"], "psnr-rgb")
    rows = []
    for k in reversed(range(len(lists["bpp"]))):
        width, bpp, psnr = (_known(lists[name][k]) for name in ("setting", "bpp", "psnr-rgb"))
        jpeg = rate_at(anchor, psnr)
        rows.append(
            (
                f"{width:g}",
                f"{bpp:.4f}",
                f"{psnr:.2f}",
                f"{_known(lists['ms-ssim-rgb'][k]):.4f}",
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
        searched = bd_rates(sources.searched, group) if sources.searched else {}
        for name, found in bd_rates(sources.ours, group).items():
            cells = [_bd_cell(found.get(quality)) for quality in QUALITIES]
            if sources.searched:
                cells.append(_bd_cell(searched.get(name, {}).get("psnr-rgb")))
            rows.append((name, *cells))
    heads = ("against", "PSNR", "MS-SSIM")
    return table((*heads, "PSNR, `--effort 3`") if sources.searched else heads, rows)


def searched_words(sources: Sources) -> list[str]:
    """Return the sentence about the time of effort 3, if it was measured."""
    if sources.searched is None:
        return []
    times = (found.lists["encoding_time"] for found in (sources.searched, sources.ours))
    ratios = [_known(slow) / _known(fast) for slow, fast in zip(*times, strict=True)]
    return [
        f"Encoding at effort 3 takes {min(ratios):.1f} to {max(ratios):.1f} times as long as at "
        "effort 2, the default; decoding takes the same time."
    ]


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


def backends_words(sources: Sources) -> list[str]:
    """Return the comparison of both libraries: whole calls, and whole commands with memory."""
    native, avx2 = sources.backends, sources.backends_avx2
    names = list(native["runtimes"])
    rows = [
        (
            width,
            *(_both_ways(native["calls"][width][name]) for name in names),
            *(_both_ways(avx2["calls"][width][name]) for name in avx2["runtimes"]),
        )
        for width in native["calls"]
    ]
    heads = ("width", *names, *(f"AVX2: {name}" for name in avx2["runtimes"]))
    commands = [
        (
            f"{way}, width {width}",
            *(
                f"{found[f'{way}_seconds']:.2f} s, {found[f'{way}_megabytes']:.0f} MB"
                for found in by_name.values()
            ),
        )
        for width, by_name in native["processes"].items()
        for way in ("compress", "decompress")
    ]
    runtimes = ", ".join(dict.fromkeys(native["runtimes"].values()))
    return [
        "Times of whole calls, encode / decode in milliseconds, for 768×512 pixels. The libraries "
        f"take turns in one process ({native['machine']}, {runtimes}, {native['date'][:10]}). ONNX "
        "Runtime always computes in float32 and chooses its instructions itself, so the limit to "
        "AVX2 applies to torch only.",
        table(heads, rows),
        "Time and peak memory of whole commands on the first processor:",
        table(("", *names), commands),
    ]


def _both_ways(found: Mapping[str, float]) -> str:
    return f"{found['encode']:.1f} / {found['decode']:.1f}"


def start_table(start_up: Mapping[str, Any]) -> str:
    """Return the table of start-up times and their targets."""
    asked = {
        "slimcae --help": "0.3",
        "slimcae info FILE": "0.3",
        "slimcae compress PHOTO": "3",
        "the project's own share of compress": "0.5",
    }
    rows = [
        (name, f"{seconds:.3f}", asked.get(name, ""))
        for name, seconds in start_up["seconds"].items()
    ]
    return table(("", "seconds", "target, at most"), rows) + (
        f"\n\n{start_up['machine']}, {start_up['runtime']}, {start_up['date'][:10]}. The target "
        "for reading the model and preparing one width together is 0.1 s."
    )


def training_words(training: Mapping[str, Any]) -> list[str]:
    """Return the times of training steps with all widths, and of the loader."""
    steps, megapixels = training["steps"], training["megapixels"]
    first = next(iter(steps.values()))["median"]
    rows = [
        (
            name,
            f"{found['median']:.3f} ({found['low']:.3f}–{found['high']:.3f})",
            f"{megapixels / found['median']:.3f}",
            f"{first / found['median']:.2f} ×",
        )
        for name, found in steps.items()
    ]
    words = [
        f"Times are those of whole steps with all five widths, {training['batchsize']} crops of "
        f"{training['patchsize']}×{training['patchsize']}, {training['machine']}, threads: "
        f"{training['threads']}, torch {training['torch']}, {training['date'][:10]}. The first row "
        "is a stand-in for the earlier port (benchmarks/seed_stand_in.py). [target: 3 ×]",
        table(("", "seconds per step", "megapixels/s", "speed-up"), rows),
    ]
    if training["loader"]:
        fastest = min(found["median"] for found in steps.values())
        shares = ", ".join(
            f"{name} {100 * seconds / fastest:.2g} %"
            for name, seconds in training["loader"].items()
        )
        words.append(f"The loader alone takes these shares of the fastest step: {shares}.")
    return words


def readme_block(sources: Sources) -> str:
    """Return the generated part of README.md: the plot, and rate, quality and times per width."""
    narrow, wide = sources.widths
    processors = (sources.peers["codecs"], sources.peers_avx2["codecs"])
    lists = sources.ours.lists
    rows = []
    for k in reversed(range(len(lists["bpp"]))):
        width = f"{_known(lists['setting'][k]):g}"
        rows.append(
            (
                width,
                f"{_known(lists['bpp'][k]):.2f}",
                f"{_known(lists['psnr-rgb'][k]):.1f}",
                f"{_known(lists['ms-ssim-rgb'][k]):.3f}",
                *(
                    " / ".join(
                        f"{1000 * codecs[width][way]['median']:.0f}" for way in ("encode", "decode")
                    )
                    for codecs in processors
                ),
            )
        )
    widths = table(
        (
            "width",
            "bits per pixel",
            "PSNR (dB)",
            "MS-SSIM",
            "encode / decode (ms)",
            "PyTorch, AVX2 (ms)",
        ),
        rows,
    )
    against = bd_rates(sources.ours, sources.others)
    rates = ", ".join(
        f"{name} {signed(found.value, 0)} %"
        for name in ("JPEG", "WebP", "JPEG 2000", "AVIF speed 6")
        if (found := against[name]["psnr-rgb"]) is not None
    )
    faster = [ratios(sources.peers, way, BAR[0][2], narrow)[1] for way in ("encode", "decode")]
    slower = [ratios(sources.peers, way, BAR[0][2], wide)[1] for way in ("encode", "decode")]
    return "\n\n".join(
        [
            "![Rate and quality on Kodak compared with JPEG, WebP, JPEG 2000, AVIF, BPG, VVC and a "
            "factorized prior](docs/figures/kodak.png)",
            widths,
            "Rate and quality are those of whole files of the 24 Kodak images. Times are for "
            f"{sources.peers['images']} of them with {sources.peers['model']} on "
            f"{sources.peers['machine']}: first with ONNX "
            "Runtime, then with PyTorch limited to AVX2, as on most laptops (ONNX Runtime cannot "
            f"be limited). Bits at equal PSNR (BD-rate): {rates}. Compared with CompressAI's "
            f"factorized model (N = 192, random weights) in the same run, width {narrow} "
            f"compresses {faster[0]:.0f} × and decompresses {faster[1]:.0f} × faster, and width "
            f"{wide} {slower[0]:.1f} × and {slower[1]:.1f} ×. See [all results](docs/results.md).",
        ]
    )


def many_pictures_block(found: Mapping[str, Any]) -> str:
    """What a folder of photos costs, as `benchmarks/many_pictures.py` found it."""
    rows = []
    for name, costs in found["ways"].items():
        seconds = costs["cpu_ms_per_picture"] / 1e3
        rows.append(
            [
                f"`{name}`",
                f"{costs['pictures_per_second']:.1f}",
                f"{1e3 * seconds:.0f} ms",
                f"{3600 / seconds:,.0f}",
                f"{1e6 * seconds / 3600:.1f}",
            ]
        )
    heads = ["", "pictures/s", "CPU time", "photos per core and hour", "core hours per million"]
    ratios = ", ".join(
        f"{ratio['wall']:.2f} (CPU time {ratio['cpu']:.2f}) at width {width}"
        for width, ratio in found["pipeline_over_compress"].items()
    )
    words = [
        f"A folder of {found['pictures']:,} photos of 0.4 megapixels (JPEG), {found['at_a_time']} "
        "at a time. Times include reading, writing and the start of each program, but not that of "
        "Ray's cluster. CPU time is per photo. "
        f"Medians of {found['turns']} turns on {found['machine']}.",
        table(heads, rows),
    ]
    if ratios:
        words.append(f"The pipeline takes these multiples of `compress -r`'s time: {ratios}.")
    return "\n\n".join(words)


def with_block(text: str, block: str) -> str:
    """Return a text with its marked part replaced."""
    begin, end = MARKS
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"the page needs {begin} and {end}, once")
    return pattern.sub(lambda _: f"{begin}\n\n{block}\n\n{end}", text)


def _precision(peers: Mapping[str, Any]) -> str:
    precision: str = peers["ours"]["precision"]
    return precision


def _rates(peers: Mapping[str, Any]) -> str:
    """Return the rates of large matrix products as text."""
    rates = ", ".join(
        f"{name} {rate['median'] / 1e9:.0f} GFLOP/s" for name, rate in peers["matrix_flops"].items()
    )
    return f"{rates}; the network runs in {_precision(peers)}"


def _bench(folder: Path) -> tuple[Results, dict[str, Results]]:
    """Read the results of one run of `slimcae bench`: our curve, and those of others by name."""
    others = (read_json(folder / f"bench_{codec}.json") for codec in CODECS)
    return read_json(folder / "bench_slimcae.json"), {found.name: found for found in others}


def _searched(folder: Path) -> Results | None:
    """Read our curve of the same run at effort 3, if it was measured."""
    path = folder / "bench_slimcae-effort-3.json"
    return read_json(path) if path.exists() else None


def _their_words(peers: Mapping[str, Any]) -> Iterable[str]:
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


def _bd_cell(found: BDResult | None) -> str:
    if found is None:
        return "–"
    low, high = found.overlap
    return f"{signed(found.value, 1)} % ({low:.1f}–{high:.1f} dB)"


def signed(value: float, digits: int) -> str:
    """Format a number with its sign and a typographic minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def _settings(results: Results) -> str:
    return results.description.partition("; ")[0]


def _where(results: Results) -> str:
    return results.description.partition("; ")[2]


def _known(value: float | None) -> float:
    assert value is not None
    return value


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table with the first column left-aligned and the others right-aligned."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
