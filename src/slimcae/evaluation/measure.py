"""Rate, quality and time of contenders on pictures."""

import logging
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from slimcae.errors import ImageError
from slimcae.evaluation import metrics
from slimcae.evaluation.contenders import Contender, Pixels
from slimcae.images import read_picture

log = logging.getLogger("slimcae")


@dataclass(frozen=True)
class BenchPoint:
    """One codec at one point: means of rate and quality, medians of times, over the pictures.

    Attributes:
        codec: Name of the contender.
        label: What the point is called.
        setting: The point itself: a width, or the codec's own quality.
        bpp: Bits per pixel of whole files.
        mse: On the [0, 1] scale.
        psnr: In dB, of 8-bit RGB; infinite if a picture is restored exactly.
        ms_ssim: In [0, 1]; None if no picture has 161 pixels on each side.
        ms_ssim_db: The same in dB.
        encode_seconds, decode_seconds: Per picture, between pixels and bytes in memory.
    """

    codec: str
    label: str
    setting: float
    bpp: float
    mse: float
    psnr: float
    ms_ssim: float | None
    ms_ssim_db: float | None
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class _Run:
    bpp: float
    mse: float
    psnr: float
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float


class Seen(NamedTuple):
    """A picture that was measured: its file, and its size in pixels."""

    path: Path
    width: int
    height: int


class Measured(NamedTuple):
    """The points of each contender, and the pictures of which they are the means."""

    curves: list[list[BenchPoint]]
    pictures: list[Seen]


Progress = Callable[[Sequence[Path]], Iterable[Path]]


def measure(
    contenders: Sequence[Contender],
    images: Sequence[Path],
    *,
    repeats: int = 1,
    progress: Progress = iter,
) -> Measured:
    """The points of every contender, measured on all images; alpha does not take part.

    Every picture goes through all contenders before the next one comes, so that what else the
    machine does hits all alike. The first picture of each size is coded once without the clock,
    which prepares what is prepared once. Of `repeats` runs of a picture the median counts.

    A picture that cannot be read is named in a warning and left out.

    Raises:
        ImageError: no picture can be read.
    """
    jobs = [(contender, point) for contender in contenders for point in contender.points]
    runs: list[list[_Run]] = [[] for _ in jobs]
    warm = set()
    pictures = []
    for path in progress(images):
        try:
            pixels = read_picture(path).pixels
        except ImageError as error:
            log.warning("image skipped: %s", error)
            continue
        pictures.append(Seen(path, width=pixels.shape[1], height=pixels.shape[0]))
        if pixels.shape not in warm:
            warm.add(pixels.shape)
            for contender, point in jobs:
                contender.decode(contender.encode(pixels, point))
        for (contender, point), found in zip(jobs, runs, strict=True):
            found.append(_run(contender, point, pixels, repeats))
    if not warm:
        raise ImageError(f"none of the {len(images)} images can be read: nothing to compare")
    points = iter(
        _point(contender, point, found)
        for (contender, point), found in zip(jobs, runs, strict=True)
    )
    curves = [[next(points) for _ in contender.points] for contender in contenders]
    return Measured(curves, pictures)


def _run(contender: Contender, point: float, pixels: Pixels, repeats: int) -> _Run:
    encode, decode = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        data = contender.encode(pixels, point)
        between = time.perf_counter()
        restored = contender.decode(data)
        end = time.perf_counter()
        encode.append(between - start)
        decode.append(end - between)
    return _Run(
        bpp=8 * len(data) / (pixels.shape[0] * pixels.shape[1]),
        mse=metrics.mse(pixels, restored),
        psnr=metrics.psnr(pixels, restored),
        ms_ssim=metrics.ms_ssim(pixels, restored),
        encode_seconds=statistics.median(encode),
        decode_seconds=statistics.median(decode),
    )


def _point(contender: Contender, point: float, runs: Sequence[_Run]) -> BenchPoint:
    similarities = [run.ms_ssim for run in runs if run.ms_ssim is not None]
    similarity = statistics.fmean(similarities) if similarities else None
    return BenchPoint(
        codec=contender.name,
        label=contender.label(point),
        setting=point,
        bpp=statistics.fmean(run.bpp for run in runs),
        mse=statistics.fmean(run.mse for run in runs),
        psnr=statistics.fmean(run.psnr for run in runs),
        ms_ssim=similarity,
        ms_ssim_db=None if similarity is None else metrics.ms_ssim_db(similarity),
        encode_seconds=statistics.median(run.encode_seconds for run in runs),
        decode_seconds=statistics.median(run.decode_seconds for run in runs),
    )
