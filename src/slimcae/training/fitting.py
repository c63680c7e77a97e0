"""Fit the entropy models and the quality scale of a trained model to pictures.

Training gives densities, and context networks or a hyperprior in floating point, but files are
coded with integers. So tables are counted on training pictures, for the classes of kind `tables`
and for the centres and scales that the networks predict. Each width keeps the kinds with the fewest
bits on validation pictures. The fit also measures the mean rate and quality of the points, from
which the quality scale 0 … 100 is derived.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from slimcae.codec.tiled import TiledTransforms, quantise
from slimcae.codec.tiles import Tile, split
from slimcae.coding.activity import TablesModel
from slimcae.coding.blas import one_blas_thread
from slimcae.coding.context import ContextModel
from slimcae.coding.context_counting import count_cells, counted_model
from slimcae.coding.counting import (
    ActivityCounts,
    ClassCounts,
    channel_groups,
    tables_model,
)
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.entropy_models import by_kind
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.hyperprior import HyperpriorModel
from slimcae.errors import ConfigError, ImageError
from slimcae.images import distortion, read_picture
from slimcae.images.distortion import mse, squared_error
from slimcae.model.model import Model
from slimcae.networks import hyperprior_conversion
from slimcae.networks.context import ContextNetwork, neighbourhoods
from slimcae.networks.context_conversion import (
    SCALES,
    SCALES_PER_E,
    SMALLEST_LOG_SCALE,
    context_networks,
    to_integers,
)
from slimcae.networks.conversion import factorized_model, to_network
from slimcae.networks.hyperprior import Hyperprior
from slimcae.training.latents import TILE, LatentStore
from slimcae.training.workers import side_by_side
from slimcae.transforms import Pixels, Symbols, Transforms

TRAINING_PICTURES = 200
"""Maximal number of evenly spaced training pictures that are analysed and counted."""
STEP_PICTURES = 64
"""Approximate number of these pictures that are counted at each step."""
THRESHOLD_PICTURES = 32
"""Maximal number of these pictures from which thresholds of activity are computed."""
CONTEXT_STEPS = 2
"""Number of steps, in addition to Δ = 1, at which a network's tables are counted per picture."""
MOST_BYTES = 2**30
"""Limit on the latents that are stored on disk."""
FEW_STEPS = 8
"""Number of steps up to which all are measured; of more, every third is, the rest interpolated."""
HIGHEST_PSNR = 100.0
"""PSNR in dB that replaces the infinite one of lossless pictures, so that means stay finite."""

Doubles = NDArray[np.float64]
Item = TypeVar("Item")
Network = ContextNetwork | Hyperprior
LEARNED = (ContextModel.kind, HyperpriorModel.kind)
"""Kinds that are derived from trained networks."""


class Progress(Protocol):
    """Shows the progress of a loop."""

    def __call__(self, items: Iterable[Item], text: str, total: int) -> Iterable[Item]:
        """Return the items, of which there are `total`."""


def silent(items: Iterable[Item], text: str, total: int) -> Iterable[Item]:
    """Show nothing."""
    return items


@dataclass(frozen=True)
class Fit:
    """The result of a fit, for each width.

    entropy_models: the entropy models, with the kind of the fewest bits first.
    quality: mean bits per pixel (of the coded symbols) and mean PSNR in dB at every step.
    rates: mean bits per pixel at every step for each kind that was tried.
    rounding: relative increase of the bits due to the integers of a network compared with floating
        point, over Δ = 1 and the finest and coarsest step; only for widths with a network.
    """

    entropy_models: dict[int, dict[str, EntropyModel]]
    quality: dict[int, tuple[tuple[float, float], ...]]
    rates: dict[int, dict[str, tuple[float, ...]]]
    rounding: dict[int, float]


class _Figures(NamedTuple):
    """Measurements of one picture at one width.

    rates: bits per pixel (probed steps, kinds). psnr: PSNR in dB (probed steps).
    real: bits per pixel of the network in floating point, at the steps of `_extremes`.
    """

    rates: Doubles
    psnr: Doubles
    real: Doubles


def fit(
    model: Model,
    transforms: Transforms,
    train: Sequence[Path],
    valid: Sequence[Path],
    progress: Progress = silent,
    kind: str | None = None,
) -> Fit:
    """Fit a model's entropy models, and measure its points.

    transforms: transforms of the model, which should be exact (float32). train, valid: image files.
    kind: the kind to prefer, even if another one takes fewer bits.

    Raises:
        ConfigError: An operating point has no entropy model of this kind.
        TrainingError: No training picture can be read.
        ImageError: A validation picture cannot be read, or there is none.
        ModelError: Latents or pictures are not finite, or training tensors are not those of
            networks.
    """
    if not valid:
        raise ImageError("no validation images: give at least one")
    tiled = TiledTransforms(transforms, model.architecture)
    networks = _networks(model)
    if kind is not None:
        _check_kind(model, networks, kind)
    probes = _probes(model.steps)
    with one_blas_thread():  # pictures are processed in parallel
        tried = _counted(model, tiled, networks, _evenly(train, TRAINING_PICTURES), progress)
        measure = partial(_measured, model, tiled, tried, networks, probes)
        done = progress(side_by_side(measure, valid), "validation images", len(valid))
        pictures = [figures for _, figures in done]
    found = Fit({}, {}, {}, {})
    for width, kinds in tried.items():
        figures = [picture[width] for picture in pictures]
        rates = np.mean([each.rates for each in figures], axis=0)
        found.rates[width] = {
            kind: tuple(np.exp(_at_all_steps(model.steps, probes, np.log(column))).tolist())
            for kind, column in zip(kinds, rates.T, strict=True)
        }
        if width in networks:
            integers = rates[[probes.index(step) for step in _extremes(model.steps)], -1]
            real = np.mean([each.real for each in figures], axis=0)
            found.rounding[width] = float(integers.sum() / real.sum() - 1)
        best = _best(kinds, rates.sum(axis=0), kind)
        found.entropy_models[width] = best
        psnr = np.mean([each.psnr for each in figures], axis=0)
        decibels = _at_all_steps(model.steps, probes, psnr).tolist()
        points = zip(found.rates[width][next(iter(best))], decibels, strict=True)
        found.quality[width] = tuple(points)
    return found


def _networks(model: Model) -> dict[int, Network]:
    """Return the trained network of each operating point that has one."""
    hyperpriors = hyperprior_conversion.hyperpriors_of(model)
    return {**context_networks(model)} if hyperpriors is None else {**hyperpriors.by_point}


def _check_kind(model: Model, networks: Mapping[int, Network], kind: str) -> None:
    for point in model.points:
        found = ["factorized", "tables"]
        found += [each for each in model.entropy_models[point] if each in LEARNED]
        if point in networks:
            own = HyperpriorModel if isinstance(networks[point], Hyperprior) else ContextModel
            found.append(own.kind)
        if kind not in found:
            raise ConfigError(
                f"entropy_model {kind}: {model.label(point)} of this model has "
                f"{', '.join(dict.fromkeys(found))}"
            )


def _best(
    kinds: Mapping[str, EntropyModel], bits: Doubles, wanted: str | None
) -> dict[str, EntropyModel]:
    """Return the kind of the fewest bits; after a learned one, also the best fast kind.

    kinds: `factorized`, `tables` and possibly some of `LEARNED`. bits: bits of each kind.
    wanted: a kind to use in any case.
    """
    costs = dict(zip(kinds, bits, strict=True))
    best = wanted or min(kinds, key=costs.__getitem__)
    fast = min(("factorized", "tables"), key=costs.__getitem__)
    return by_kind(*(kinds[kind] for kind in dict.fromkeys((best, fast))))


def _counted(
    model: Model,
    tiled: TiledTransforms,
    networks: Mapping[int, Network],
    train: Sequence[Path],
    progress: Progress,
) -> dict[int, dict[str, EntropyModel]]:
    """Return the kinds to try at each width, with tables counted on training pictures.

    Whole pictures are counted, not crops, because latents near the border are distributed
    differently, and crops have several times as many of them.
    """
    density = dict(side_by_side(partial(_density, model), model.points))
    channels = {width: density[width].num_channels for width in model.points}
    with TemporaryDirectory(prefix="slimcae-", ignore_cleanup_errors=True) as folder:
        store = LatentStore(Path(folder), channels, "")
        filling = store.fill(tiled, train, MOST_BYTES)
        for _ in progress(filling, "training images", len(train)):
            pass
        count = partial(_class_counts, model, store, density)
        points = [(width, step) for width in model.points for step in range(len(model.steps))]
        counts = dict(progress(side_by_side(count, points), "tables", len(points)))
        learn = partial(_learned_model, model, store, networks)
        learned = dict(
            progress(side_by_side(learn, list(networks)), "context tables", len(networks))
        )

    def cluster(width: int) -> TablesModel:
        return tables_model([counts[width, step] for step in range(len(model.steps))])

    kinds: dict[int, dict[str, EntropyModel]] = {}
    for width, tables in side_by_side(cluster, model.points):
        earlier = [each for kind, each in model.entropy_models[width].items() if kind in LEARNED]
        found = [learned[width]] if width in learned else earlier
        kinds[width] = by_kind(density[width], tables, *found)
    return kinds


def _density(model: Model, width: int) -> FactorizedModel:
    """Return the density from training; a fitted model has no tables of it, only its parameters."""
    found = model.entropy_models[width].get(FactorizedModel.kind)
    if isinstance(found, FactorizedModel):
        return found
    return factorized_model(to_network(model).entropy_bottleneck(width), model.steps)


def _class_counts(
    model: Model,
    store: LatentStore,
    density: Mapping[int, FactorizedModel],
    point: tuple[int, int],
) -> ClassCounts:
    width, step = point
    groups = channel_groups(density[width].num_channels)
    pictures = range(len(store))
    active = ActivityCounts(groups)
    for symbols in _symbols(model, store, width, step, _evenly(pictures, THRESHOLD_PICTURES)):
        active.add(symbols)
    counts = ClassCounts(density[width], step, groups, active.thresholds())
    every = max(1, len(pictures) // STEP_PICTURES)
    for symbols in _symbols(model, store, width, step, pictures[step % every :: every]):
        counts.add(symbols)
    return counts


def _learned_model(
    model: Model, store: LatentStore, networks: Mapping[int, Network], width: int
) -> EntropyModel:
    network = networks[width]
    rng = np.random.default_rng(width)

    def tiles() -> Iterator[tuple[Symbols, int]]:
        for picture in range(len(store)):
            for step in (0, *rng.integers(len(model.steps), size=CONTEXT_STEPS).tolist()):
                for symbols in _symbols(model, store, width, step, [picture]):
                    yield symbols, step

    if isinstance(network, Hyperprior):
        return hyperprior_conversion.counted(network, width, model.steps, tiles())
    arrays = to_integers(network, model.steps)
    found = count_cells(arrays, tiles(), SCALES)
    return counted_model(arrays, found, SMALLEST_LOG_SCALE, SCALES_PER_E)


def _symbols(
    model: Model, store: LatentStore, width: int, step: int, pictures: Iterable[int]
) -> Iterator[Symbols]:
    """Yield the symbols (C, h, w) of pictures at a width and step, tile by tile."""
    for picture in pictures:
        yield from _tiles(quantise(store.picture(width, picture), model.steps[step]))


def _measured(
    model: Model,
    tiled: TiledTransforms,
    kinds: Mapping[int, Mapping[str, EntropyModel]],
    networks: Mapping[int, Network],
    probes: Sequence[int],
    path: Path,
) -> dict[int, _Figures]:
    """Measure rate and quality of a validation picture at each width."""
    pixels = read_picture(path).filled().pixels
    size = (pixels.shape[0], pixels.shape[1])
    count = size[0] * size[1]
    found = {}
    for width in model.points:
        residuals = tiled.residuals(pixels, tiled.grid(size), width)
        rates, psnr, real = [], [], []
        for step in probes:
            delta = model.steps[step]
            symbols = quantise(residuals, delta)
            models = kinds[width].values()
            rates.append([_bits(each, symbols, step) / count for each in models])
            decoded = tiled.image(symbols, size, width, delta, TILE)
            psnr.append(_psnr(pixels, decoded))
        if width in networks:
            for step in _extremes(model.steps):
                delta = model.steps[step]
                tiles = _tiles(quantise(residuals, delta))
                bits = sum(float_bits(networks[width], tile, width, delta) for tile in tiles)
                real.append(bits / count)
        found[width] = _Figures(np.array(rates), np.array(psnr), np.array(real))
    return found


def _bits(entropy_model: EntropyModel, symbols: Symbols, step: int) -> float:
    """Return the bits of a whole picture (C, H, W), whose tiles are independent."""
    return sum(entropy_model.ideal_bits(tile, step) for tile in _tiles(symbols))


@torch.inference_mode()
def float_bits(network: Network, symbols: Symbols, point: int, delta: float) -> float:
    """Return the bits of the symbols (C, h, w) of a tile with the floating-point network."""
    residuals = torch.from_numpy(symbols.astype(np.float32))[None] * delta
    if isinstance(network, Hyperprior):
        both = network(residuals, point, delta)
        return sum(float(bits.sum(dtype=torch.float64)) for bits in both.values())
    known = neighbourhoods(residuals)
    bits = network(known, torch.full((len(known), 1), delta)).sum(dim=2)
    rows, columns = np.indices(symbols.shape[1:])
    white = torch.from_numpy((rows + columns).ravel() % 2 == 1)
    return float(torch.where(white, bits[1], bits[0]).sum(dtype=torch.float64))


def _tiles(symbols: Symbols) -> Iterator[Symbols]:
    whole = Tile(0, 0, symbols.shape[1], symbols.shape[2])
    for tile in split(whole, TILE):
        yield np.ascontiguousarray(symbols[:, *tile.slices(whole)])


def _psnr(pixels: Pixels, decoded: Pixels) -> float:
    return min(distortion.psnr(mse(squared_error(pixels, decoded), pixels.size)), HIGHEST_PSNR)


def _evenly(items: Sequence[Item], most: int) -> Sequence[Item]:
    """Return at most `most` of the items, evenly spaced."""
    return items[:: max(1, -(-len(items) // most))]


def _extremes(steps: Sequence[float]) -> list[int]:
    """Return the indices of Δ = 1, the finest and the coarsest step."""
    return sorted({0, int(np.argmin(steps)), int(np.argmax(steps))})


def _probes(steps: Sequence[float]) -> list[int]:
    """Return the indices of the measured steps, finest first."""
    order: list[int] = np.argsort(steps).tolist()
    if len(order) <= FEW_STEPS:
        return order
    kept = {*order[::3], *_extremes(steps)}
    return [step for step in order if step in kept]


def _at_all_steps(steps: Sequence[float], probes: Sequence[int], values: Doubles) -> Doubles:
    """Interpolate measurements at some steps over log Δ, without new maxima or minima.

    Every third step suffices: the error is at most 0.012 dB of PSNR and 0.25 % of the rate
    (docs/results/trials/README.md, "Fitting").
    """
    from scipy.interpolate import PchipInterpolator

    if len(probes) == len(steps):
        found = np.empty(len(steps))
        found[list(probes)] = values
        return found
    places = np.log(np.array(steps))
    interpolated: Doubles = PchipInterpolator(places[list(probes)], values)(places)
    return interpolated
