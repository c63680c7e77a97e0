"""What programs cost around the network: the library, the start, training, many pictures."""

from collections.abc import Mapping
from typing import Any

from report.files import Sources
from report.markdown import table


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
