"""Fitting a trained model's tables and quality scale to pictures.

The density that training needs knows each channel by itself. Files hold whole pictures, whose
channels are quiet and loud in the same places; so contexts and their tables are counted on
training pictures, and kept for each width where they cost fewer bits on validation pictures. On
the way every point's mean rate and quality is measured, which is what quality 0 … 100 is made of.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slimcae.codec.tiled import TiledTransforms, quantise
from slimcae.codec.tiles import Tile, split
from slimcae.coding.activity import TablesModel
from slimcae.coding.counting import (
    ActivityCounts,
    ClassCounts,
    channel_groups,
    tables_model,
)
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.entropy_models import by_kind
from slimcae.coding.factorized import FactorizedModel
from slimcae.errors import ImageError, TrainingError
from slimcae.images import distortion, read_picture
from slimcae.images.distortion import mse, squared_error
from slimcae.model.model import Model
from slimcae.networks.conversion import factorized_model, to_network
from slimcae.transforms import Pixels, Symbols, Transforms

log = logging.getLogger("slimcae")

Progress = Callable[[Sequence[Path], str], Iterable[Path]]

THRESHOLD_PICTURES = 64
"""At most so many training pictures, evenly taken, tell where the classes of activity end."""
TILE = 64
"""Latents in a row and a column that the network sees at once: bounds its memory."""
HIGHEST_PSNR = 100.0
"""In dB: that of a picture decoded without any error, so that means stay finite."""


@dataclass(frozen=True)
class Fit:
    """What a fit has found; each dictionary has a row per width, with a number per step.

    entropy_models: of each width by kind, the counts' or the density's.
    quality: mean bits per pixel (of the coded symbols) and mean PSNR in dB.
    gain: what part of the density's bits the counts save on the validation pictures.
    counted: the widths that take the counts: where they save bits over all steps together.
    """

    entropy_models: dict[int, Mapping[str, EntropyModel]]
    quality: dict[int, tuple[tuple[float, float], ...]]
    gain: dict[int, tuple[float, ...]]
    counted: tuple[int, ...]


def fit(
    model: Model,
    transforms: Transforms,
    train: Sequence[Path],
    valid: Sequence[Path],
    progress: Progress = lambda paths, _: paths,
) -> Fit:
    """Fit a model's tables, and measure its points.

    transforms: the model's, which should be exact (float32). train, valid: image files.
        `progress(paths, text)` may show how far it is.

    Raises:
        TrainingError: no training picture can be read.
        ImageError: a validation picture cannot be read.
        ModelError: latents or pictures that are not finite.
    """
    network = to_network(model)
    density = {
        width: factorized_model(network.entropy_bottleneck(width), model.steps)
        for width in model.widths
    }
    tiled = TiledTransforms(transforms, model.architecture)
    counts = _counted(model, tiled, density, train, progress)
    bits: dict[tuple[int, int], list[tuple[float, float]]] = {}
    psnr: dict[tuple[int, int], list[float]] = {}
    sizes = []
    for path in progress(valid, "validation images"):
        pixels = read_picture(path).pixels
        size = pixels.shape[:2]
        sizes.append(size[0] * size[1])
        for width in model.widths:
            residuals = tiled.residuals(pixels, tiled.grid(size), width)
            for step, delta in enumerate(model.steps):
                symbols = quantise(residuals, delta)
                costs = [_bits(models[width], symbols, step) for models in (density, counts)]
                bits.setdefault((width, step), []).append((costs[0], costs[1]))
                decoded = tiled.image(symbols, size, width, delta, TILE)
                psnr.setdefault((width, step), []).append(_psnr(pixels, decoded))
    if not sizes:
        raise ImageError("no validation images: give at least one")
    chosen: dict[int, EntropyModel] = {}
    quality, gain = {}, {}
    for width in model.widths:
        # (step, picture, entropy model)
        both = np.array([bits[width, step] for step in range(len(model.steps))])
        totals = both.sum(axis=1)
        gain[width] = tuple((1 - totals[:, 1] / totals[:, 0]).tolist())
        better = int(totals[:, 1].sum() < totals[:, 0].sum())
        chosen[width] = (density, counts)[better][width]
        rates = (both[:, :, better] / sizes).mean(axis=1).tolist()
        decibels = [float(np.mean(psnr[width, step])) for step in range(len(model.steps))]
        quality[width] = tuple(zip(rates, decibels, strict=True))
    counted = tuple(width for width in model.widths if chosen[width] is counts[width])
    return Fit({w: by_kind(found) for w, found in chosen.items()}, quality, gain, counted)


def _bits(entropy_model: EntropyModel, symbols: Symbols, step: int) -> float:
    """Of a whole picture (C, H, W), whose tiles know nothing of each other."""
    _, height, width = symbols.shape
    whole = Tile(0, 0, height, width)
    tiles = split(whole, TILE)
    return sum(entropy_model.ideal_bits(symbols[:, *tile.slices(whole)], step) for tile in tiles)


def _can_be_read(path: Path) -> bool:
    try:
        read_picture(path)
    except ImageError as error:
        log.warning("left out: %s", error)
        return False
    return True


def _counted(
    model: Model,
    tiled: TiledTransforms,
    density: Mapping[int, FactorizedModel],
    train: Sequence[Path],
    progress: Progress,
) -> dict[int, TablesModel]:
    """Contexts and tables of what training pictures hold.

    Whole pictures are counted, not crops: near the border of what the network sees latents are
    distributed otherwise, and a crop's share of them is several times that of a picture.
    """
    groups = {width: channel_groups(density[width].num_channels) for width in model.widths}
    points = [(width, step) for width in model.widths for step in range(len(model.steps))]
    train = [path for path in progress(train, "looking at images") if _can_be_read(path)]
    if not train:
        raise TrainingError("none of the training images can be read")
    some = train[:: -(-len(train) // THRESHOLD_PICTURES)]
    active = {(width, step): ActivityCounts(groups[width]) for width, step in points}
    for point, symbols in _symbols(model, tiled, progress(some, "activity")):
        active[point].add(symbols)
    counts = {
        (width, step): ClassCounts(
            density[width], step, groups[width], active[width, step].thresholds()
        )
        for width, step in points
    }
    for point, symbols in _symbols(model, tiled, progress(train, "training images")):
        counts[point].add(symbols)
    return {
        width: tables_model([counts[width, step] for step in range(len(model.steps))])
        for width in model.widths
    }


def _symbols(
    model: Model, tiled: TiledTransforms, paths: Iterable[Path]
) -> Iterator[tuple[tuple[int, int], Symbols]]:
    """The symbols of pictures, tile by tile, at every width and step: (width, step), (C, h, w)."""
    for path in paths:
        pixels = read_picture(path).pixels
        for tile in split(tiled.grid(pixels.shape[:2]), TILE):
            for width in model.widths:
                residuals = tiled.residuals(pixels, tile, width)
                for step, delta in enumerate(model.steps):
                    yield (width, step), quantise(residuals, delta)


def _psnr(pixels: Pixels, decoded: Pixels) -> float:
    return min(distortion.psnr(mse(squared_error(pixels, decoded), pixels.size)), HIGHEST_PSNR)
