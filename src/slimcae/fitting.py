"""Fitting a trained model's tables and quality scale to pictures.

The density is trained on unit intervals and crops; files hold whole pictures at every
quantisation step. So the tables of each (width, step) are also counted on whole training
pictures, and kept where they cost fewer bits on validation pictures. On the way every point's
mean rate and quality is measured, which is what quality 0 … 100 is made of.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slimcae.coding.tables import MAX_SYMBOL, TOTAL, SymbolTables, from_probabilities
from slimcae.errors import ImageError, ModelError, TrainingError
from slimcae.images import read_picture
from slimcae.model.slimcae import DOWNSAMPLING, SlimCAE

log = logging.getLogger("slimcae")

Pixels = NDArray[np.uint8]
Symbols = NDArray[np.int32]
Tables = dict[int, tuple[SymbolTables, ...]]
Progress = Callable[[Sequence[Path], str], Iterable[Path]]

DENSITY_WEIGHT = 256.0
"""How many latents of each channel the density counts for beside those that are counted. With the
300,000 and more of a training set anything up to 1,000 gives the same bits within 0.02 %."""
SMALLEST_MSE = 1e-10
"""Of pixels in [0, 1]: a picture decoded without any error has 100 dB."""


@dataclass(frozen=True)
class Fit:
    """What a fit has found; each dictionary has a row per width, with a number per step.

    quality: mean bits per pixel (of the coded symbols) and mean PSNR in dB.
    gain: what part of the density tables' bits the counts save on the validation pictures; they
        are used where it is positive.
    """

    quality: dict[int, tuple[tuple[float, float], ...]]
    gain: dict[int, tuple[float, ...]]

    @property
    def counted(self) -> int:
        """Number of (width, step) whose tables come from counts."""
        return sum(value > 0 for row in self.gain.values() for value in row)


def fit(
    model: SlimCAE,
    train: Sequence[Path],
    valid: Sequence[Path],
    progress: Progress = lambda paths, _: paths,
) -> Fit:
    """Fit a model's tables, in place, and measure its points.

    train, valid: image files. `progress(paths, text)` may show how far it is. Runs in float32 on
    the model's device; takes about half a second for each training picture of 768×512.

    Raises:
        TrainingError: no training picture can be read.
        ImageError: a validation picture cannot be read.
        ModelError: latents or pictures that are not finite.
    """
    model.eval()
    model.update()
    density = dict(model.tables)
    counts = _counted(model, _readable(progress(train, "training images")))
    bits: dict[tuple[int, int], list[tuple[float, float]]] = {}
    psnr: dict[tuple[int, int], list[float]] = {}
    sizes = []
    for path in progress(valid, "validation images"):
        pixels = read_picture(path).pixels
        sizes.append(pixels.shape[0] * pixels.shape[1])
        for width in model.widths:
            residual = _residual(model, pixels, width)
            for step, delta in enumerate(model.steps):
                symbols = _symbols(residual, delta)
                costs = (table[width][step].ideal_bits(symbols) for table in (density, counts))
                bits.setdefault((width, step), []).append((next(costs), next(costs)))
                decoded = _synthesise(model, symbols, delta, pixels.shape)
                psnr.setdefault((width, step), []).append(_psnr(pixels, decoded))
    if not sizes:
        raise ImageError("no validation images: give at least one")
    quality, gain = {}, {}
    for width in model.widths:
        costs_of = [np.array(bits[width, step]) for step in range(len(model.steps))]
        totals = [cost.sum(axis=0) for cost in costs_of]
        gain[width] = tuple(float(1 - counted / plain) for plain, counted in totals)
        model.tables[width] = tuple(
            (counts if value > 0 else density)[width][step]
            for step, value in enumerate(gain[width])
        )
        quality[width] = tuple(
            (
                float((cost[:, int(value > 0)] / sizes).mean()),
                float(np.mean(psnr[width, step])),
            )
            for step, (cost, value) in enumerate(zip(costs_of, gain[width], strict=True))
        )
    return Fit(quality, gain)


def _readable(paths: Iterable[Path]) -> Iterator[Pixels]:
    """The pixels of pictures, without those that cannot be read."""
    for path in paths:
        try:
            yield read_picture(path).pixels
        except ImageError as error:
            log.warning("left out: %s", error)


def _counted(model: SlimCAE, pictures: Iterable[Pixels]) -> Tables:
    """Tables of (count + α·density) / (N + α), with the symbols that the density's tables have.

    Whole pictures are counted, not crops: near the border of what the network sees latents are
    distributed otherwise, and a crop's share of them is several times that of a picture.
    """
    found = {
        (width, step): np.zeros(table.counts.size, np.int64)
        for width, tables in model.tables.items()
        for step, table in enumerate(tables)
    }
    any_picture = False
    for pixels in pictures:
        any_picture = True
        for width, tables in model.tables.items():
            residual = _residual(model, pixels, width)
            for step, table in enumerate(tables):
                symbols = _symbols(residual, model.steps[step])
                found[width, step] += _histogram(table, symbols)
    if not any_picture:
        raise TrainingError("none of the training images can be read")
    return {
        width: tuple(_blended(table, found[width, step]) for step, table in enumerate(tables))
        for width, tables in model.tables.items()
    }


def _histogram(tables: SymbolTables, symbols: Symbols) -> NDArray[np.int64]:
    """How often symbols (C, h, w) use each entry of the tables, in the order of `counts`."""
    starts = np.cumsum(tables.sizes) - tables.sizes
    entries = symbols.reshape(len(symbols), -1) - tables.minimum[:, None]
    escape = tables.sizes[:, None] - 1
    entries = np.where((entries < 0) | (entries > escape), escape, entries)
    return np.bincount((entries + starts[:, None]).ravel(), minlength=tables.counts.size)


def _blended(density: SymbolTables, found: NDArray[np.int64]) -> SymbolTables:
    """Tables of what was found, with the density as prior."""
    weights = found + DENSITY_WEIGHT * density.counts / TOTAL
    channels = np.split(weights, np.cumsum(density.sizes)[:-1])
    # the last entry is the escape, which gets what the others leave
    return from_probabilities(
        density.minimum, [channel[:-1] / channel.sum() for channel in channels]
    )


@torch.inference_mode()
def _residual(model: SlimCAE, pixels: Pixels, width: int) -> Tensor:
    """Y − median (width, ⌈H/16⌉, ⌈W/16⌉) of pixels (H, W, 3), padded as the codec does."""
    height, columns, _ = pixels.shape
    pad = ((0, -height % DOWNSAMPLING), (0, -columns % DOWNSAMPLING), (0, 0))
    medians = model.entropy_bottleneck(width).medians
    x = torch.from_numpy(np.pad(pixels, pad, mode="edge")).to(medians.device)
    y = model.g_a(x.permute(2, 0, 1)[None].float() / 255, width)[0]
    residual: Tensor = y - medians[:, None, None]
    if not torch.isfinite(residual).all():
        raise ModelError(f"the model's latents at width {width} are not finite: train it again")
    return residual


def _symbols(residual: Tensor, delta: float) -> Symbols:
    symbols = torch.round(residual / delta).clamp(-MAX_SYMBOL, MAX_SYMBOL)
    return symbols.to(torch.int32).cpu().numpy()


@torch.inference_mode()
def _synthesise(
    model: SlimCAE, symbols: Symbols, delta: float, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """What symbols decode to: whole levels 0 … 255, (H, W, 3)."""
    medians = model.entropy_bottleneck(len(symbols)).medians[:, None, None]
    y_hat = torch.from_numpy(symbols).to(medians.device) * delta + medians
    x_hat = model.g_s(y_hat[None])[0, :, : shape[0], : shape[1]]
    if not torch.isfinite(x_hat).all():
        raise ModelError(
            f"the reconstruction at width {len(symbols)} is not finite: train the model again"
        )
    levels: NDArray[np.float32] = torch.round(x_hat.clamp(0, 1) * 255).cpu().numpy()
    return levels.transpose(1, 2, 0)


def _psnr(pixels: Pixels, decoded: NDArray[np.float32]) -> float:
    mse = float(np.mean(np.square(decoded - pixels, dtype=np.float64))) / 255**2
    return -10 * math.log10(max(mse, SMALLEST_MSE))
