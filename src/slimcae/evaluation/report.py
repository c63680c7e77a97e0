"""Reports: evaluate models, write tables and plots, and format results as text."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

from slimcae.errors import ConfigError
from slimcae.evaluation.bd_rate import METHOD, Curve, bd_psnr, bd_rate
from slimcae.evaluation.measure import RDPoint
from slimcae.evaluation.metrics import MS_SSIM_MIN_SIDE
from slimcae.evaluation.rd import Codec, Progress, evaluate_codec, silent
from slimcae.evaluation.results import write_csv, write_json
from slimcae.plots.evaluation import ModelSeries, plot_all
from slimcae.version import __version__

DEFAULT_STEM = "report"
"""Name of report files if only a folder is given."""

NO_MS_SSIM = (
    f"MS-SSIM is not available:\nno image has {MS_SSIM_MIN_SIDE} pixels or more on each side"
)


def evaluate_models(
    models: Sequence[tuple[str, Codec]],
    images: Sequence[Path],
    report_prefix: str | Path,
    *,
    progress: Progress = silent,
) -> list[list[RDPoint]]:
    """Evaluate one model, or several side by side, on all images and write the report.

    Files: `<prefix>.csv`; `<prefix>.json`, or for several models `<prefix>_<name>.json` each; and
    the plots of `slimcae.plots.evaluation`. Folders are created, and files of an earlier report
    are replaced. A second model with the same name becomes `<name>-2`. `resolve_prefix` interprets
    `report_prefix`.

    Returns:
        The points of each model, in the order of its widths.

    Raises:
        ConfigError: There is no model, or the report cannot be written.
        ImageError: No image can be read.
    """
    if not models:
        raise ConfigError("no models to evaluate: give one, or several to compare")
    names = _distinct([name for name, _ in models])
    prefix = writable_prefix(report_prefix)
    curves = [
        evaluate_codec(codec, images, name=name, progress=progress)
        for name, (_, codec) in zip(names, models, strict=True)
    ]
    with write_errors(prefix):
        write_csv(_with_ending(prefix, ".csv"), [point for points in curves for point in points])
        for name, points in zip(names, curves, strict=True):
            ending = ".json" if len(curves) == 1 else f"_{_file_part(name)}.json"
            write_json(_with_ending(prefix, ending), f"SlimCAE {__version__}", points)
        plot_all(prefix, [to_series(points) for points in curves], NO_MS_SSIM)
    return curves


def to_series(points: Sequence[RDPoint]) -> ModelSeries:
    """Convert the points of a model to plot series."""
    return ModelSeries(
        name=points[0].codec,
        widths=[point.setting for point in points],
        lmbda=[point.lmbda for point in points],
        bpp=[point.bpp for point in points],
        mse=[point.mse for point in points],
        psnr=[point.psnr for point in points],
        ms_ssim=[point.ms_ssim for point in points],
        ms_ssim_db=[point.ms_ssim_db for point in points],
        encoder_macs=[point.encoder_macs for point in points],
        decoder_macs=[point.decoder_macs for point in points],
        encode_ms=[1000 * point.encode_seconds for point in points],
        decode_ms=[1000 * point.decode_seconds for point in points],
    )


def resolve_prefix(report_prefix: str | Path) -> Path:
    """Return the prefix of the names of the report's files.

    `results/run` gives `results/run.csv`, `results/run_psnr.png` and so on. A folder, which exists
    or ends in a slash, gives `<folder>/report.csv` and so on.
    """
    text = os.fspath(report_prefix)
    folder = text.endswith(("/", os.sep)) or Path(text).is_dir()
    return Path(text) / DEFAULT_STEM if folder else Path(text)


def writable_prefix(report_prefix: str | Path) -> Path:
    """Return `resolve_prefix(report_prefix)` after creating its folder and checking permissions.

    Commands call it first, because the evaluation before writing may take hours.

    Raises:
        ConfigError: The folder cannot be created or written.
    """
    prefix = resolve_prefix(report_prefix)
    with write_errors(prefix):
        prefix.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(prefix.parent, os.W_OK):
            raise PermissionError(None, "the folder is not writable")
    return prefix


_HEADINGS = (
    "model", "width", "λ", "bpp", "(estim.)", "MSE", "PSNR dB", "MS-SSIM", "dB", "enc ms", "dec ms",
)  # fmt: skip


def format_table(points: Sequence[RDPoint]) -> str:
    """Return the points as a table, one line each, with "–" for missing values."""
    rows = [_HEADINGS] + [
        (
            point.codec,
            f"{point.setting:g}",
            _number(point.lmbda, "g"),
            _number(point.bpp, ".4f"),
            _number(point.bpp_estimated, ".4f"),
            _number(point.mse, ".6f"),
            _number(point.psnr, ".3f"),
            _number(point.ms_ssim, ".5f"),
            _number(point.ms_ssim_db, ".3f"),
            _number(1000 * point.encode_seconds, ".1f"),
            _number(1000 * point.decode_seconds, ".1f"),
        )
        for point in points
    ]
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(sizes[0])]
            + [cell.rjust(size) for cell, size in zip(row[1:], sizes[1:], strict=True)]
        )
        for row in rows
    )


def format_bd_rate(anchor: Sequence[RDPoint], test: Sequence[RDPoint]) -> str:
    """Return the Bjøntegaard deltas of two models: a line for PSNR, and one for MS-SSIM in dB.

    The line for MS-SSIM is omitted if a model has no MS-SSIM.
    """
    heading = f"{test[0].codec} against {anchor[0].codec}, Bjøntegaard deltas ({METHOD}):"
    lines = [heading, _bd_line("PSNR", *(_curve(points, "psnr") for points in (anchor, test)))]
    similarities = _curve(anchor, "ms_ssim_db"), _curve(test, "ms_ssim_db")
    if all(similarities):
        lines.append(_bd_line("MS-SSIM", *similarities))
    return "\n".join(lines)


def format_report(curves: Sequence[Sequence[RDPoint]]) -> str:
    """Return the table of all points, and the deltas of all models against the first."""
    first, *others = curves
    table = format_table([point for points in curves for point in points])
    return "\n\n".join([table, *(format_bd_rate(first, points) for points in others)])


def _curve(points: Sequence[RDPoint], quality: str) -> Curve:
    pairs = ((point.bpp, getattr(point, quality)) for point in points)
    return [(bpp, value) for bpp, value in pairs if value is not None]


def _bd_line(quality: str, anchor: Curve, test: Curve) -> str:
    rate, gain = bd_rate(anchor, test), bd_psnr(anchor, test)
    if rate is None:
        return f"  {quality}: no BD-rate; it needs two overlapping curves with two points or more"
    low, high = rate.overlap
    text = f"  {quality}: BD-rate {rate.value:+.2f} % over {low:.2f}–{high:.2f} dB"
    if gain is not None:
        low, high = gain.overlap
        text += f", gain {gain.value:+.3f} dB over {low:.3f}–{high:.3f} bpp"
    if rate.dropped:
        text += f" (dominated or lossless points left out: {rate.dropped})"
    return text


def _number(value: float | None, spec: str) -> str:
    return "–" if value is None else format(value, spec)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names, numbered where file names would be equal."""
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        candidates = chain([name], (f"{name}-{number}" for number in count(2)))
        chosen = next(each for each in candidates if _file_part(each).casefold() not in taken)
        taken.add(_file_part(chosen).casefold())
        found.append(chosen)
    return found


def _file_part(name: str) -> str:
    """Return a name with characters replaced that are not suitable for file names."""
    return re.sub(r"[^\w.+-]+", "_", name)


def _with_ending(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)


@contextmanager
def write_errors(prefix: Path) -> Iterator[None]:
    """Turn a failure to write into a one-line `ConfigError`."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot write a report to {prefix}: {error.strerror or error}; "
            "name a folder that you can write to"
        ) from error
