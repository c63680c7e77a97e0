"""Rate-distortion points of a codec: real file bytes, quality and time, averaged over images.

How the means are taken: everything is measured per image and averaged arithmetically, as the
literature does. So one picture restored exactly (infinite PSNR) makes the mean PSNR infinite,
while the mean MSE stays telling. Pictures too small for MS-SSIM are left out of its mean, which
is None if no picture has one. MS-SSIM in dB is that of the mean MS-SSIM, so that it can be laid
beside published curves, which give the mean.
"""

import logging
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from slimcae.errors import ConfigError, ImageError
from slimcae.evaluation import metrics
from slimcae.images import Picture, read_picture

log = logging.getLogger("slimcae")

Progress = Callable[[Sequence[Path], str], Iterable[Path]]
"""Wraps the images of a model (its name is the label) to show how far it is: `tqdm.tqdm`, say."""

WARM_UP_SIDE = 64
"""Side of the crop that is coded before the clock starts."""


class _Info(Protocol):
    @property
    def lmbda(self) -> tuple[float, ...] | None: ...


class Codec(Protocol):
    """What an evaluation needs of a codec; `slimcae.codec.Codec` has it."""

    @property
    def info(self) -> _Info:
        """Has `lmbda`: a λ per width in the order of `widths`, or None if not known."""

    @property
    def widths(self) -> tuple[int, ...]:
        """The operating points."""

    def compress(self, picture: Picture, width: int, /) -> bytes:
        """A whole compressed file."""

    def decompress(self, data: bytes, /) -> Image.Image:
        """The picture of a compressed file."""

    def ideal_bits(self, pixels: metrics.Pixels, width: int, /) -> float:
        """Information content of an image's symbols under the model's entropy model."""


@dataclass(frozen=True)
class Measurement:
    """One image at one width; fields as in `RDPoint`."""

    bpp: float
    bpp_estimated: float
    mse: float
    psnr: float
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class RDPoint:
    """One model at one width, averaged over images (see the module for the means).

    Attributes:
        model: Name of the model.
        width: Filters per layer.
        lmbda: λ that the width was trained with, if known.
        bpp: Bits per pixel of the real file, metadata and alpha included.
        bpp_estimated: Bits per pixel that the model's density promises.
        mse: Mean squared error on the [0, 1] scale.
        psnr: In dB.
        ms_ssim: In [0, 1]; None if no image has 161 pixels on each side.
        ms_ssim_db: The same in dB, -10·log10(1 - ms_ssim).
        encode_seconds: Wall time per image from pixels to file bytes.
        decode_seconds: Wall time per image from file bytes to pixels.
    """

    model: str
    width: int
    lmbda: float | None
    bpp: float
    bpp_estimated: float
    mse: float
    psnr: float
    ms_ssim: float | None
    ms_ssim_db: float | None
    encode_seconds: float
    decode_seconds: float


def evaluate_image(codec: Codec, picture: Picture, width: int) -> Measurement:
    """Code and restore one picture and measure both.

    The quality is that of the colour pixels: alpha, which is stored exactly, does not count.
    """
    start = time.perf_counter()
    data = codec.compress(picture, width)
    encoded = time.perf_counter()
    image = codec.decompress(data)
    decoded = time.perf_counter()

    restored = np.asarray(image.convert("RGB"))
    height, columns, _ = picture.pixels.shape
    return Measurement(
        bpp=8 * len(data) / (height * columns),
        bpp_estimated=codec.ideal_bits(picture.pixels, width) / (height * columns),
        mse=metrics.mse(picture.pixels, restored),
        psnr=metrics.psnr(picture.pixels, restored),
        ms_ssim=metrics.ms_ssim(picture.pixels, restored),
        encode_seconds=encoded - start,
        decode_seconds=decoded - encoded,
    )


def silent(images: Sequence[Path], _name: str) -> Iterable[Path]:
    """Show no progress."""
    return images


def evaluate_codec(
    codec: Codec,
    images: Sequence[Path],
    *,
    name: str,
    widths: Sequence[int] | None = None,
    progress: Progress = silent,
) -> list[RDPoint]:
    """The RD points of a codec, one per width in the order given (all that it has by default).

    An image that cannot be read is named in a warning and left out. A small crop is coded at
    each width beforehand, so that what a codec prepares once is not counted as an image's time.

    Raises:
        ImageError: no image can be read.
        ConfigError: a width that the codec does not have.
    """
    if widths is None:
        widths = codec.widths
    for width in widths:
        if width not in codec.widths:
            have = ", ".join(map(str, codec.widths))
            raise ConfigError(f"{name} has no width {width}: choose from {have}")

    measured: dict[int, list[Measurement]] = {width: [] for width in widths}
    warm = False
    for path in progress(images, name):
        try:
            picture = read_picture(path)
        except ImageError as error:
            log.warning("image skipped: %s", error)
            continue
        if not warm:
            _warm_up(codec, picture, widths)
            warm = True
        for width in widths:
            measured[width].append(evaluate_image(codec, picture, width))
    if not warm:
        raise ImageError(f"none of the {len(images)} images can be read: nothing to evaluate")

    lmbdas = codec.info.lmbda
    lmbda_of = dict(zip(codec.widths, lmbdas, strict=True)) if lmbdas else {}
    return [_mean(measured[width], name, width, lmbda_of.get(width)) for width in widths]


def _warm_up(codec: Codec, picture: Picture, widths: Iterable[int]) -> None:
    crop = Picture(
        picture.pixels[:WARM_UP_SIDE, :WARM_UP_SIDE].copy(),
        grey=picture.grey,
        alpha=None,
        icc_profile=None,
    )
    for width in widths:
        codec.decompress(codec.compress(crop, width))


def _mean(images: Sequence[Measurement], name: str, width: int, lmbda: float | None) -> RDPoint:
    similarities = [image.ms_ssim for image in images if image.ms_ssim is not None]
    similarity = statistics.fmean(similarities) if similarities else None
    return RDPoint(
        model=name,
        width=width,
        lmbda=lmbda,
        bpp=statistics.fmean(image.bpp for image in images),
        bpp_estimated=statistics.fmean(image.bpp_estimated for image in images),
        mse=statistics.fmean(image.mse for image in images),
        psnr=statistics.fmean(image.psnr for image in images),
        ms_ssim=similarity,
        ms_ssim_db=None if similarity is None else metrics.ms_ssim_db(similarity),
        encode_seconds=statistics.fmean(image.encode_seconds for image in images),
        decode_seconds=statistics.fmean(image.decode_seconds for image in images),
    )
