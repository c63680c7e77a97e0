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
from numpy.typing import NDArray

from slimcae.codec.tiles import latent_grid, split
from slimcae.codec.transforms import Pixels, Symbols, Transforms, quantise
from slimcae.coding.tables import TOTAL, SymbolTables, from_probabilities
from slimcae.errors import ImageError, TrainingError
from slimcae.images import read_picture
from slimcae.model.slimcae import SlimCAE

log = logging.getLogger("slimcae")

Tables = dict[int, tuple[SymbolTables, ...]]
Progress = Callable[[Sequence[Path], str], Iterable[Path]]

DENSITY_WEIGHT = 256.0
"""How many latents of each channel the density counts for beside those that are counted. With the
300,000 and more of a training set anything up to 1,000 gives the same bits within 0.02 %."""
TILE = 64
"""Latents in a row and a column that the network sees at once: bounds its memory."""
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
    device: str = "cpu",
    progress: Progress = lambda paths, _: paths,
) -> Fit:
    """Fit a model's tables, in place, and measure its points.

    train, valid: image files. device: where the network runs, in float32. `progress(paths, text)`
        may show how far it is.

    Raises:
        TrainingError: no training picture can be read.
        ImageError: a validation picture cannot be read.
        ModelError: latents or pictures that are not finite.
        ConfigError: an unknown or absent device.
    """
    model.update()
    density = dict(model.tables)
    transforms = Transforms(model, device, "float32")
    counts = _counted(transforms, _readable(progress(train, "training images")))
    bits: dict[tuple[int, int], list[tuple[float, float]]] = {}
    psnr: dict[tuple[int, int], list[float]] = {}
    sizes = []
    for path in progress(valid, "validation images"):
        pixels = read_picture(path).pixels
        size = pixels.shape[:2]
        sizes.append(size[0] * size[1])
        for width in model.widths:
            residuals = transforms.residuals(pixels, latent_grid(size), width)
            for step, delta in enumerate(model.steps):
                symbols = quantise(residuals, delta)
                costs = [tables[width][step].ideal_bits(symbols) for tables in (density, counts)]
                bits.setdefault((width, step), []).append((costs[0], costs[1]))
                decoded = transforms.image(symbols, size, delta, TILE)
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


def _counted(transforms: Transforms, pictures: Iterable[Pixels]) -> Tables:
    """Tables of (count + α·density) / (N + α), with the symbols that the density's tables have.

    Whole pictures are counted, not crops: near the border of what the network sees latents are
    distributed otherwise, and a crop's share of them is several times that of a picture.
    """
    model = transforms.model
    found = {
        (width, step): np.zeros(table.counts.size, np.int64)
        for width, tables in model.tables.items()
        for step, table in enumerate(tables)
    }
    any_picture = False
    for pixels in pictures:
        any_picture = True
        for tile in split(latent_grid(pixels.shape[:2]), TILE):
            for width, tables in model.tables.items():
                residuals = transforms.residuals(pixels, tile, width)
                for step, table in enumerate(tables):
                    symbols = quantise(residuals, model.steps[step])
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


def _psnr(pixels: Pixels, decoded: Pixels) -> float:
    squares = np.square(decoded.astype(np.int32) - pixels).sum(dtype=np.int64)
    return -10 * math.log10(max(float(squares) / pixels.size / 255**2, SMALLEST_MSE))
