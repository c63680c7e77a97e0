"""Write docs/results.md, its plots, and the table of README.md from the committed result files.

    python benchmarks/make_results.py      # or: make results

The script measures nothing. The commands at the end of docs/results.md wrote the files in
docs/results.
"""

from pathlib import Path

from report.costs import backends_words, many_pictures_block, start_table, training_words
from report.effort import effort_series, effort_words
from report.files import Sources
from report.markdown import bullets, signed, table, with_block
from report.rates import bd_table, effort_times, known, rd_table
from report.speed import (
    BAR,
    bar_table,
    limit_table,
    matrix_rates,
    precision_of,
    profile_words,
    ratios,
    their_words,
    times_table,
)

from slimcae.cli.profile import format_table
from slimcae.evaluation.bd_rate import METHOD
from slimcae.evaluation.comparison import bd_rates
from slimcae.evaluation.figures import draw_rd, draw_times
from slimcae.evaluation.results import Results
from slimcae.plots.effort import plot_effort
from slimcae.plots.profile import plot_complexity

ROOT = Path(__file__).parents[1]


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
    costs = ROOT / "docs" / "million-photos.md"
    text = costs.read_text(encoding="utf-8")
    block = many_pictures_block(sources.many_pictures)
    costs.write_text(with_block(text, block), encoding="utf-8")


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
    widths, rivals = effort_series(sources.effort)
    title = "What encoding longer saves: {model}\nthreads: {threads}, {clock} time, {machine}"
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
                effort_times(sources),
                "The other codecs have these settings:",
                bullets(f"{found.name}: {_settings(found)}" for found in sources.others.values()),
                "## Speed compared with other codecs",
                "Times are those of whole calls, from 8-bit pixels to the bytes of a file and "
                "back, warm. All codecs take turns picture by picture in one run: "
                f"{peers['images']} Kodak images, {peers['machine']}, threads: {peers['threads']}, "
                f"{peers['model']}, {peers['date'][:10]}. "
                + _PROCESSORS.format(native=precision_of(peers), avx2=precision_of(avx2)),
                times_table(sources),
                *their_words(peers),
                "The next table shows how many times faster SlimCAE is: the median over the "
                "images, and the quartiles in parentheses. Square brackets contain this project's "
                "targets.",
                bar_table(sources),
                "![Bits at equal quality, and time](figures/times.png)",
                "![The same without AVX-512](figures/times-avx2.png)",
                "The next table shows the time of the network divided by the time that its "
                "multiplications take at the rate of large matrix products in the same precision "
                f"(1 is the limit; {matrix_rates(peers)}; without AVX-512 {matrix_rates(avx2)}):",
                limit_table(sources),
                "## Time and memory of each width",
                "![Times and memory of each width](figures/profile.png)",
                "`slimcae profile` measured the tables below. Rows with `e1` are for `--effort 1`. "
                "Peak memory is in addition to that of the program; `comp.` is the computed "
                "estimate for decoding, which `slimcae info` also shows.",
                "\n".join(["```text", format_table(sources.profile), "```"]),
                profile_words(sources),
                "\n".join(["```text", format_table(sources.profile_avx2), "```"]),
                *effort_words(sources.effort),
                "## ONNX Runtime compared with PyTorch",
                *backends_words(sources),
                "## Start-up time",
                start_table(sources.start_up),
                "## Training speed",
                *training_words(sources.training),
                "## Effect of each optimisation",
                sources.ideas,
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
        --report_path docs/results/kodak/bench   # 3 minutes
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


def readme_block(sources: Sources) -> str:
    """Return the generated part of README.md: the plot, and rate, quality and times per width."""
    narrow, wide = sources.widths
    processors = (sources.peers["codecs"], sources.peers_avx2["codecs"])
    lists = sources.ours.lists
    rows = []
    for k in reversed(range(len(lists["bpp"]))):
        width = f"{known(lists['setting'][k]):g}"
        rows.append(
            (
                width,
                f"{known(lists['bpp'][k]):.2f}",
                f"{known(lists['psnr-rgb'][k]):.1f}",
                f"{known(lists['ms-ssim-rgb'][k]):.3f}",
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


def _settings(results: Results) -> str:
    return results.description.partition("; ")[0]


def _where(results: Results) -> str:
    return results.description.partition("; ")[2]


if __name__ == "__main__":
    main()
