"""Write docs/results.md, its plots, and the table of README.md from the committed result files.

    python benchmarks/make_results.py      # or: make results

Measures nothing: the files in docs/results are what the commands at the end of docs/results.md
wrote. docs/results/ideas.md, where there is one, goes into the page as it is.
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
    ("decompress against the same", "decode", "CompressAI N=192", (35, 8)),
    ("compress against AVIF speed 6, quality 45", "encode", "AVIF speed 6, quality 45", (25, 6)),
    ("compress against AVIF speed 6, quality 75", "encode", "AVIF speed 6, quality 75", (20, 3)),
    ("compress against WebP method 4, quality 50", "encode", "WebP, quality 50", (2.5, None)),
)
"""What it says, which way, beside which codec, and how many times faster the narrowest and the
widest width should be."""


def main() -> None:
    """Write everything."""
    sources = Sources()
    figures = ROOT / "docs" / "figures"
    figures.mkdir(exist_ok=True)
    draw(sources, figures)
    (ROOT / "docs" / "results.md").write_text(page(sources), encoding="utf-8")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(with_block(text, readme_block(sources)), encoding="utf-8")


class Sources:
    """The result files."""

    def __init__(self, folder: Path = RESULTS) -> None:
        self.ours, self.others = _bench(folder / "kodak")
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
        ideas = folder / "ideas.md"
        self.ideas = ideas.read_text(encoding="utf-8").strip() if ideas.exists() else ""

    @property
    def widths(self) -> tuple[int, int]:
        """The narrowest and the widest width."""
        widths = self.peers["ours"]["widths"]
        return widths[-1], widths[0]


def draw(sources: Sources, folder: Path) -> None:
    """The plots of the page."""
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
    """docs/results.md."""
    peers, avx2 = sources.peers, sources.peers_avx2
    return (
        "\n\n".join(
            [
                "# Results",
                "Made by `make results` from the files in `docs/results`; how to measure them "
                "again stands at the end.",
                "## Rate and quality",
                "![Rate and quality on Kodak](figures/kodak.png)",
                rd_table(sources),
                f"BD-rates, negative where SlimCAE needs fewer bits ({METHOD}, over the range of "
                "quality that both curves have). The first were measured with the same pictures; "
                "the others are published curves. JPEG as measured here has optimised Huffman "
                "tables, which the published one lacks.",
                bd_table(sources),
                "The codecs' settings:",
                _list(f"{found.name}: {_settings(found)}" for found in sources.others.values()),
                "## Speed, side by side",
                "Whole calls from 8-bit pixels to the bytes of a file and back, warm, all in one "
                f"run, picture by picture; {peers['images']} Kodak images, {peers['machine']}, "
                f"threads: {peers['threads']}, {peers['date'][:10]}. "
                + _PROCESSORS.format(native=_precision(peers), avx2=_precision(avx2)),
                times_table(sources),
                *_their_words(peers),
                "How many times faster: the median over the images, and between which values half "
                "of them lie. In brackets what this project asks of itself.",
                bar_table(sources),
                "![Bits at equal quality, and time](figures/times.png)",
                "![The same without AVX-512](figures/times-avx2.png)",
                "How many times longer the network takes than its multiplications would at the "
                "rate of large matrix products in the same precision (1 cannot be beaten; "
                f"{_rates(peers)}; without AVX-512 {_rates(avx2)}):",
                limit_table(sources),
                "## What a width costs",
                "![Times and memory of each width](figures/profile.png)",
                "\n".join(["```text", format_table(sources.profile), "```"]),
                profile_words(sources),
                "\n".join(["```text", format_table(sources.profile_avx2), "```"]),
                *([] if sources.effort is None else effort_words(sources.effort)),
                "## ONNX Runtime and torch",
                *backends_words(sources),
                "## Start-up",
                start_table(sources.start_up),
                "## Training",
                *training_words(sources.training),
                *(["## What each idea brought", sources.ideas] if sources.ideas else []),
                "## Measure it again",
                _AGAIN,
            ]
        )
        + "\n"
    )


_PROCESSORS = """\
First our network runs in {native} by ONNX Runtime, the default. A second run imitates what most
people have, AVX2 without AVX-512 and bfloat16: the same machine, with the network in {avx2} by
torch, which is kept from newer instructions (`ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2`).
ONNX Runtime cannot be limited. The other codecs choose their instructions themselves, so that
their times say how alike the two runs are."""

_AGAIN = """\
On an otherwise idle machine, with the Kodak images in a folder KODAK and training images in TRAIN:

    slimcae bench KODAK --reference --report_path docs/results/kodak/bench   # 3 minutes
    rm docs/results/kodak/*.png
    python benchmarks/peers/make_environment.py                               # once, 5.8 GB
    python benchmarks/peers/run.py KODAK -o docs/results/peers.json           # 3 minutes
    slimcae profile -o results/profile.json -y --json > docs/results/profile.json
    python benchmarks/start_up.py PHOTO -o docs/results/start_up.json         # 1 minute
    python benchmarks/backends.py PHOTO -o docs/results/backends.json         # 2 minutes
    python benchmarks/effort.py KODAK -o docs/results/effort.json             # hours
    python benchmarks/training_throughput.py --images TRAIN --compile -o docs/results/training.json
    export ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2     # the other kind of processor
    slimcae bench KODAK --backend torch --report_path docs/results/avx2/kodak/bench
    rm docs/results/avx2/kodak/*.png docs/results/avx2/kodak/*.csv
    python benchmarks/peers/run.py KODAK --backend torch -o docs/results/avx2/peers.json
    python benchmarks/backends.py PHOTO --no_processes -o docs/results/avx2/backends.json
    slimcae profile --backend torch -o results/avx2.json -y --json > docs/results/avx2/profile.json

    make results"""


def rd_table(sources: Sources) -> str:
    """Our widths, and how many bits JPEG takes for the same PSNR."""
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
    """A row for each other codec."""
    groups = (sources.others, {f"{n}, published": c for n, c in sources.published.items()})
    rows = []
    for group in groups:
        for name, found in bd_rates(sources.ours, group).items():
            cells = [_bd_cell(found.get(quality)) for quality in QUALITIES]
            rows.append((name, *cells))
    return table(("against", "PSNR", "MS-SSIM"), rows)


def bar_table(sources: Sources) -> str:
    """How many times faster the narrowest and the widest width are, and should be."""
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
    """Lower quartile, median and upper quartile over the images of other's time over ours."""
    codecs = peers["codecs"]
    pairs = zip(codecs[other][way]["each"], codecs[f"{width}"][way]["each"], strict=True)
    low, median, high = statistics.quantiles([a / b for a, b in pairs], n=4, method="inclusive")
    return low, median, high


def times_table(sources: Sources) -> str:
    """Milliseconds of every codec in the run."""
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
    """Network time over the limit of matrix products."""
    limits = (sources.peers["over_limit"], sources.peers_avx2["over_limit"])
    rows = [
        (width, *(f"{limit[width][way]:.2f}" for limit in limits for way in ("encode", "decode")))
        for width in limits[0]
    ]
    heads = ("analysis", "synthesis", "AVX2: analysis", "AVX2: synthesis")
    return table(("width", *heads), rows)


def profile_words(sources: Sources) -> str:
    """The narrowest width against the widest."""
    rows = {row["width"]: row for row in sources.profile["widths"]}
    narrow, wide = (rows[width] for width in sources.widths)

    def over(name: str) -> str:
        return f"{wide[name] / narrow[name]:.1f} ×"

    text = (
        f"Width {narrow['width']} does {over('decoder_macs_per_pixel')} less work than width "
        f"{wide['width']}. Its network is {over('encode_network_ms')} faster when it encodes and "
        f"{over('decode_network_ms')} when it decodes, whole calls {over('encode_ms')} and "
        f"{over('decode_ms')} [asked: 8 × in the network, 5 × as a whole]"
    )
    if narrow["decode_peak_bytes"]:
        text += (
            f"; the peak of its memory is {over('encode_peak_bytes')} and "
            f"{over('decode_peak_bytes')} lower"
        )
    return text + "."


def effort_series(
    found: Mapping[str, Any],
) -> tuple[dict[str, list[EffortPoint]], dict[str, list[EffortPoint]]]:
    """Seconds per megapixel and BD-rate by width, against effort 2, and by other codec."""
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
    """What each effort costs and brings."""
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
        "Bytes at equal PSNR against effort 2 of the same weights, which rounds to the nearest "
        f"integers ({METHOD}, over steps Δ from 0.54 to 1.98); {found['model']}, "
        f"{found['machine']}, {found['runtime']}, threads: {found['threads']}, "
        f"{found['clock']} time, {found['date'][:10]}. "
        "AVIF and JPEG XL stand against their own fastest settings.",
        "![Bytes saved against seconds](figures/effort.png)",
        table(heads, rows),
    ]


def backends_words(sources: Sources) -> list[str]:
    """Both libraries side by side: whole calls, and whole commands with their memory."""
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
        "Whole calls, encode / decode in milliseconds, 768×512 pixels, in turns in one process "
        f"({native['machine']}, {runtimes}, {native['date'][:10]}). ONNX Runtime always computes "
        "in float32, and chooses its instructions itself: under AVX2 only torch is limited.",
        table(heads, rows),
        "Whole commands from start to end on the first processor, and the most memory that they "
        "held:",
        table(("", *names), commands),
    ]


def _both_ways(found: Mapping[str, float]) -> str:
    return f"{found['encode']:.1f} / {found['decode']:.1f}"


def start_table(start_up: Mapping[str, Any]) -> str:
    """Seconds, and what is asked."""
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
    return table(("", "seconds", "asked, at most"), rows) + (
        f"\n\n{start_up['machine']}, {start_up['runtime']}, {start_up['date'][:10]}. Reading "
        "the model and preparing one width should take 0.1 s together."
    )


def training_words(training: Mapping[str, Any]) -> list[str]:
    """Steps of all widths, and the loader."""
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
        f"Whole steps of all five widths, {training['batchsize']} crops of "
        f"{training['patchsize']}×{training['patchsize']}, {training['machine']}, threads: "
        f"{training['threads']}, torch {training['torch']}, {training['date'][:10]}. The first row "
        "stands in for the earlier port (benchmarks/seed_stand_in.py). [asked: 3 ×]",
        table(("", "seconds a step", "megapixels/s", "faster"), rows),
    ]
    if training["loader"]:
        fastest = min(found["median"] for found in steps.values())
        shares = ", ".join(
            f"{name} {100 * seconds / fastest:.2g} %"
            for name, seconds in training["loader"].items()
        )
        words.append(f"The loader alone takes, of the fastest step's time: {shares}.")
    return words


def readme_block(sources: Sources) -> str:
    """What README.md shows: the curve, the widths, and how fast they are."""
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
            "![Rate and quality on Kodak beside JPEG, WebP, JPEG 2000, AVIF, BPG, VVC and a "
            "factorized prior](docs/figures/kodak.png)",
            widths,
            f"Kodak, 24 images, whole files; times of {sources.peers['images']} of them on "
            f"{sources.peers['machine']}, first by ONNX Runtime, then by PyTorch limited to AVX2, "
            "which is what most laptops have (ONNX Runtime cannot be limited). Bits at equal "
            f"PSNR (BD-rate): {rates}. Beside CompressAI's factorized model (N = 192, random "
            f"weights) in the same run, width {narrow} compresses {faster[0]:.0f} × and "
            f"decompresses {faster[1]:.0f} × faster, width {wide} {slower[0]:.1f} × and "
            f"{slower[1]:.1f} ×. [All results](docs/results.md).",
        ]
    )


def with_block(text: str, block: str) -> str:
    """A text whose marked part is replaced."""
    begin, end = MARKS
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"the page needs {begin} and {end}, once")
    return pattern.sub(lambda _: f"{begin}\n\n{block}\n\n{end}", text)


def _precision(peers: Mapping[str, Any]) -> str:
    precision: str = peers["ours"]["precision"]
    return precision


def _rates(peers: Mapping[str, Any]) -> str:
    """The rates of large products, in words."""
    rates = ", ".join(
        f"{name} {rate['median'] / 1e9:.0f} GFLOP/s" for name, rate in peers["matrix_flops"].items()
    )
    return f"{rates}; the network runs in {_precision(peers)}"


def _bench(folder: Path) -> tuple[Results, dict[str, Results]]:
    """What one run of `slimcae bench` wrote: our curve, and those of the others by name."""
    others = (read_json(folder / f"bench_{codec}.json") for codec in CODECS)
    return read_json(folder / "bench_slimcae.json"), {found.name: found for found in others}


def _their_words(peers: Mapping[str, Any]) -> Iterable[str]:
    """What is to be known of CompressAI in this run."""
    theirs = peers["theirs"]
    if theirs is None:
        return
    yield (
        f"CompressAI {theirs['compressai']} with torch {theirs['torch']}; its weights are its own "
        "random initialisation, since the trained ones could not be downloaded, with latents of a "
        "realistic spread and fitted entropy models (benchmarks/peers/theirs.py): its times count, "
        "its bits do not."
    )
    largest = {
        name: max(found["largest_difference"][name] for found in peers["layers"])
        for name in peers["layers"][0]["largest_difference"]
    }
    words = {"gdn": "GDN", "igdn": "inverse GDN", "y_hat": "rounded latents"}
    numbers = ", ".join(f"{words.get(name, name)} {value:.1g}" for name, value in largest.items())
    yield (
        f"Its layers on fresh random parameters ({len(peers['layers'])} seeds) give the same as "
        f"ours; largest absolute differences: {numbers}."
    )


def _bd_cell(found: BDResult | None) -> str:
    if found is None:
        return "–"
    low, high = found.overlap
    return f"{signed(found.value, 1)} % ({low:.1f}–{high:.1f} dB)"


def signed(value: float, digits: int) -> str:
    """With its sign, and a typographer's minus."""
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
    """In Markdown: the first column to the left, the others to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
