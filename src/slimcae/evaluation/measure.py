"""The measuring loop: rate, quality and time of contenders at their points, picture by picture.

Rate and quality are measured per picture and averaged arithmetically, as in the literature. So a
single lossless picture (infinite PSNR) makes the mean PSNR infinite; the mean MSE stays meaningful.
Pictures too small for MS-SSIM are left out of its mean, which is None if no picture has an MS-SSIM.
MS-SSIM in dB is computed from the mean MS-SSIM, which is comparable with published curves. Times
are medians.

In pictures with alpha, transparent pixels get smooth colours for all contenders, and quality is
measured on the visible pixels.
"""

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
from slimcae.images import Picture, read_picture

log = logging.getLogger("slimcae")

Progress = Callable[[Sequence[Path]], Iterable[Path]]
"""Wraps the image files to show progress, for example `tqdm.tqdm`."""

IdealBits = Callable[[Pixels, float], float]
"""Function from pixels (H, W, 3) and a point to the information content in bits."""


@dataclass(frozen=True)
class Measurement:
    """Measurement of one contender at one point on one picture; fields as in `RDPoint`."""

    bpp: float
    mse: float
    psnr: float
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float
    bpp_estimated: float | None


@dataclass(frozen=True)
class RDPoint:
    """Averages of one codec at one point over several pictures (see the module).

    Attributes:
        codec: Name of the codec or model.
        label: Name of the point.
        setting: The point: a width, or the quality setting of the codec.
        bpp: Bits per pixel of the whole file.
        mse: Mean squared error on the [0, 1] scale.
        psnr: In dB, of 8-bit RGB.
        ms_ssim: In [0, 1]; None if every picture has a side below 161 pixels.
        ms_ssim_db: MS-SSIM in dB, -10·log10(1 - ms_ssim).
        encode_seconds, decode_seconds: Wall time per picture, between pixels and file bytes.
        lmbda: λ of the width in training, if known.
        bpp_estimated: Information content of the symbols in bits per pixel, if computed.
        encoder_macs, decoder_macs: Multiply-accumulates per pixel of the transforms, if known.
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
    lmbda: float | None = None
    bpp_estimated: float | None = None
    encoder_macs: float | None = None
    decoder_macs: float | None = None


class Seen(NamedTuple):
    """File and size in pixels of a measured picture."""

    path: Path
    width: int
    height: int


class Measured(NamedTuple):
    """The points of each contender, and the pictures over which they are averaged."""

    curves: list[list[RDPoint]]
    pictures: list[Seen]


def measure(
    contenders: Sequence[Contender],
    images: Sequence[Path],
    *,
    repeats: int = 1,
    ideal_bits: IdealBits | None = None,
    progress: Progress = iter,
) -> Measured:
    """Measure every contender at all its points on all images.

    All contenders code a picture before the next one is read, so other load on the machine affects
    them alike. The first picture of each size is coded once before, as a warm-up. Times are
    medians of `repeats` runs.

    Pictures that cannot be read are skipped with a warning.

    ideal_bits: called for every point, for `bpp_estimated`.

    Raises:
        ImageError: No picture can be read.
    """
    jobs = [(contender, point) for contender in contenders for point in contender.points]
    found: list[list[Measurement]] = [[] for _ in jobs]
    warm = set()
    pictures = []
    for path in progress(images):
        try:
            picture = read_picture(path).filled()
        except ImageError as error:
            log.warning("image skipped: %s", error)
            continue
        height, width, _ = shape = picture.pixels.shape
        pictures.append(Seen(path, width=width, height=height))
        if shape not in warm:
            warm.add(shape)
            for contender, point in jobs:
                contender.decode(contender.encode(picture, point))
        for (contender, point), runs in zip(jobs, found, strict=True):
            runs.append(_measure(contender, point, picture, repeats, ideal_bits))
    if not pictures:
        raise ImageError(f"none of the {len(images)} images can be read: nothing to measure")
    points = iter(
        _mean(contender, point, runs) for (contender, point), runs in zip(jobs, found, strict=True)
    )
    return Measured([[next(points) for _ in each.points] for each in contenders], pictures)


def _measure(
    contender: Contender, point: float, picture: Picture, repeats: int, ideal_bits: IdealBits | None
) -> Measurement:
    encode, decode = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        data = contender.encode(picture, point)
        between = time.perf_counter()
        restored = contender.decode(data)
        end = time.perf_counter()
        encode.append(between - start)
        decode.append(end - between)
    pixels = picture.pixels
    num_pixels = pixels.shape[0] * pixels.shape[1]
    return Measurement(
        bpp=8 * len(data) / num_pixels,
        mse=metrics.mse(pixels, restored, picture.visible),
        psnr=metrics.psnr(pixels, restored, picture.visible),
        ms_ssim=metrics.ms_ssim(pixels, restored, picture.visible),
        encode_seconds=statistics.median(encode),
        decode_seconds=statistics.median(decode),
        bpp_estimated=None if ideal_bits is None else ideal_bits(pixels, point) / num_pixels,
    )


def _mean(contender: Contender, point: float, runs: Sequence[Measurement]) -> RDPoint:
    similarity = _mean_of_known(run.ms_ssim for run in runs)
    return RDPoint(
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
        bpp_estimated=_mean_of_known(run.bpp_estimated for run in runs),
    )


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
