"""Encoding of one picture: its residuals, the size and PSNR of each point, and its streams."""

import logging
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy

import numpy as np
from numpy.typing import NDArray

from slimcae.codec.effort import PLANS, needs_gradients, search
from slimcae.codec.tiled import TiledTransforms, quantise
from slimcae.codec.tiles import Tile, split
from slimcae.coding.coder import longest_stream
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.tables import MAX_SYMBOL
from slimcae.errors import BitstreamError
from slimcae.images.distortion import MAX_PIXEL, mse, psnr, squared_error
from slimcae.model.model import DEFAULT_EFFORT, Model
from slimcae.model.quality import Point
from slimcae.transforms import Gradients, Pixels, Residuals, Symbols

log = logging.getLogger("slimcae")

KEPT_WIDTHS = 2
"""Number of widths whose residuals are cached for a multi-tile picture."""


class Encoding:
    """A picture being encoded; rate control tries operating points on it.

    For a picture of one tile, the analysis runs once per width. For larger pictures, only the
    residuals of the two most recently used widths are kept, which take less than twice the memory
    of the 8-bit picture. A search alternates between at most two widths.

    pixels: (H, W, 3). visible: (H, W), mask of the pixels whose error counts (None: all). grey: the
    decoder makes the picture grey. overhead: bytes of the file without the streams. side: side of
    the tiles in latents. effort: determines the entropy model and the search for symbols.
    gradients: needed by that search.
    """

    def __init__(
        self,
        pixels: Pixels,
        visible: NDArray[np.bool_] | None,
        grey: bool,
        overhead: int,
        side: int,
        model: Model,
        transforms: TiledTransforms,
        effort: int,
        gradients: Gradients | None,
    ) -> None:
        self._pixels = pixels
        self._visible = visible
        self._grey = grey
        self.overhead = overhead
        self.num_pixels = pixels.shape[0] * pixels.shape[1]
        self._model = model
        self._transforms = transforms
        self._effort = effort
        self._gradients = gradients
        self._steps = model.steps
        self._grid = transforms.grid((pixels.shape[0], pixels.shape[1]))
        self._side = side
        self._tiles = list(split(self._grid, side))
        self._residuals: dict[int, Residuals] = {}  # the most recently used width is last
        self._sizes: dict[Point, int] = {}
        self._psnr: dict[Point, float] = {}
        self._plain: Encoding | None = None
        self._searched: dict[Point, Symbols] = {}
        self._refused: set[Point] = set()

    @property
    def analysed(self) -> Collection[int]:
        """The widths whose residuals are cached."""
        return self._residuals.keys()

    def analyse(self, width: int) -> None:
        """Run the analysis of a width unless its residuals are cached, and cache them."""
        self._kept(width)

    @property
    def plain(self) -> "Encoding":
        """This encoding with plain rounding and the same entropy model; itself if it rounds."""
        if not needs_gradients(self._effort):
            return self
        if self._plain is None:
            self._plain = copy(self)
            self._plain._effort = DEFAULT_EFFORT
            self._plain._sizes, self._plain._psnr = {}, {}  # the residuals are shared
        return self._plain

    def refuse(self, point: Point) -> None:
        """Use plain rounding at a point."""
        self._refused.add(point)
        self._sizes.pop(point, None)
        self._psnr.pop(point, None)

    def size(self, point: Point) -> int:
        """Return the bytes of the whole file: exact for one tile, else a bound, 0.3 % higher."""
        if self._searches(point):
            return self._searched_size(point)
        if point not in self._sizes:
            if len(self._tiles) == 1:
                streams = self.streams(point, verify=False)
                self._sizes[point] = self.overhead + len(streams[0])
            else:  # the residuals will not stay cached, so measure all steps
                self._sizes |= self._longest(point.width)
        return self._sizes[point]

    def psnr(self, point: Point) -> float:
        """Return the PSNR in dB of the visible decoded 8-bit pixels; infinite if they are equal."""
        if point not in self._psnr:
            self._psnr[point] = self._measure_psnr(point)
        return self._psnr[point]

    def streams(self, point: Point, *, verify: bool) -> list[bytes]:
        """Return the coded tiles in raster order; one tile is coded while the next is analysed.

        Raises:
            BitstreamError: With `verify`, a stream does not decode to its symbols.
        """
        entropy_model, step = self._entropy_model(point.width), point.step

        def encode(symbols: Symbols) -> bytes:
            stream = entropy_model.encode(symbols, step)
            if verify and not np.array_equal(
                entropy_model.decode(stream, symbols.shape, step), symbols
            ):
                raise BitstreamError("verification failed: the coded symbols do not come back")
            return stream

        if len(self._tiles) == 1:  # a second thread would not help
            return [encode(symbols) for symbols in self._symbols(point)]
        with ThreadPoolExecutor(1) as pool:
            pending = [pool.submit(encode, symbols) for symbols in self._symbols(point)]
            return [stream.result() for stream in pending]

    def _entropy_model(self, width: int) -> EntropyModel:
        return self._model.entropy_model(width, self._model.kind(width, self._effort))

    def _symbols(self, point: Point) -> Iterator[Symbols]:
        if self._searches(point):
            symbols = self._search(point)
            yield from (symbols[:, *tile.slices(self._grid)] for tile in self._tiles)
            return
        clipped = 0
        for residuals in self._analysed(point.width, keep=len(self._tiles) == 1):
            symbols = quantise(residuals, self._steps[point.step])
            clipped += int((np.abs(symbols) == MAX_SYMBOL).sum())
            yield symbols
        if clipped:
            log.info("%d symbols at the limit of ±%d may be clipped", clipped, MAX_SYMBOL)

    def _analysed(self, width: int, *, keep: bool) -> Iterator[Residuals]:
        """Yield the residuals tile by tile, computed lazily or cached."""
        known = self._residuals.get(width)
        if known is None and keep:
            known = self._kept(width)
        for tile in self._tiles:
            if known is None:
                yield self._transforms.residuals(self._pixels, tile, width)
            else:
                yield known[:, *tile.slices(self._grid)]

    def _kept(self, width: int) -> Residuals:
        """Return the residuals of the whole picture (C, h, w), and cache them."""
        residuals = self._residuals.pop(width, None)
        if residuals is None:
            while len(self._tiles) > 1 and len(self._residuals) >= KEPT_WIDTHS:
                del self._residuals[next(iter(self._residuals))]
            channels = self._model.architecture.latent_channels(self._model.filters(width))
            residuals = np.empty((channels, self._grid.height, self._grid.width), np.float32)
            for tile in self._tiles:
                part = self._transforms.residuals(self._pixels, tile, width)
                residuals[:, *tile.slices(self._grid)] = part
        self._residuals[width] = residuals
        return residuals

    def _longest(self, width: int) -> dict[Point, int]:
        """Return an upper bound of the file size for each step of a width."""
        sizes = [self.overhead] * len(self._steps)
        entropy_model = self._entropy_model(width)
        for residuals in self._analysed(width, keep=True):
            for step, delta in enumerate(self._steps):
                symbols = quantise(residuals, delta)
                bits = entropy_model.ideal_bits(symbols, step)
                sizes[step] += longest_stream(bits, symbols.size)
        return {Point(width, step): size for step, size in enumerate(sizes)}

    def _measure_psnr(self, point: Point) -> float:
        delta = self._steps[point.step]
        architecture = self._model.architecture
        searched = self._search(point) if self._searches(point) else None
        residuals = self._kept(point.width) if searched is None else None
        squares = 0
        for tile in self._tiles:
            window = tile.grown(architecture.synthesis_halo, self._grid)
            if searched is not None:
                symbols = searched[:, *window.slices(self._grid)]
            else:
                assert residuals is not None
                symbols = quantise(residuals[:, *window.slices(self._grid)], delta)
            squares += self._squares(symbols, window, tile, point)
        count = self.num_pixels if self._visible is None else int(self._visible.sum())
        return psnr(mse(squares, count * self._pixels.shape[2]))

    def _searches(self, point: Point) -> bool:
        return needs_gradients(self._effort) and point not in self._refused

    def _searched_size(self, point: Point) -> int:
        if point not in self._sizes:
            entropy_model = self._entropy_model(point.width)
            if len(self._tiles) == 1:
                streams = self.streams(point, verify=False)
                self._sizes[point] = self.overhead + len(streams[0])
            else:
                self._sizes[point] = self.overhead + sum(
                    longest_stream(entropy_model.ideal_bits(symbols, point.step), symbols.size)
                    for symbols in self._symbols(point)
                )
        return self._sizes[point]

    def _search(self, point: Point) -> Symbols:
        """Return the optimised symbols of the whole picture (C, h, w).

        Those of two points are cached, because a search for a target goes one point too far.
        """
        if point in self._searched:
            return self._searched[point]
        residuals = self._kept(point.width)
        symbols = quantise(residuals, self._steps[point.step])
        for tile in self._tiles:
            place = tile.slices(self._grid)
            symbols[:, *place] = self._search_tile(point, tile, residuals[:, *place], symbols)
        while len(self._searched) > 1:
            del self._searched[next(iter(self._searched))]
        self._searched[point] = symbols
        return symbols

    def _search_tile(
        self, point: Point, tile: Tile, residuals: Residuals, symbols: Symbols
    ) -> Symbols:
        """Return the symbols of a tile, given the current ones (C, h, w) of its neighbours."""
        architecture, delta = self._model.architecture, self._steps[point.step]
        halo, scale = architecture.synthesis_halo, architecture.downsampling
        area = tile.grown(halo, self._grid)  # the tile's symbols affect these pixels, ...
        window = area.grown(halo, self._grid)  # ... which depend on these symbols
        around = symbols[:, *window.slices(self._grid)].copy()
        inside, region = tile.slices(window), area.slices(window, scale)
        pixels = self._pixels[area.slices(self._grid, scale)]
        visible = None
        if self._visible is not None:
            visible = self._visible[area.slices(self._grid, scale)]
        weight = self._model.scale.slope(point) / pixels.shape[2]
        latents = np.float32(delta) * around
        assert self._gradients is not None
        slope = self._gradients.squared_error(
            point.width, (window.height, window.width), region, pixels, visible, self._grey
        )

        def gradient(of: Residuals) -> Residuals:
            self._transforms.tick()
            latents[:, *inside] = of
            return np.float32(weight) * slope(latents)[:, *inside]

        def distortion(of: Symbols) -> float:
            around[:, *inside] = of
            squares = self._squares(around, window, area, point)
            return float(weight * squares / MAX_PIXEL**2)

        return search(
            PLANS[self._effort],
            residuals,
            delta,
            self._entropy_model(point.width),
            point.step,
            gradient,
            distortion,
        )

    def _squares(self, symbols: Symbols, window: Tile, tile: Tile, point: Point) -> int:
        """The squared error of a tile's decoded 8-bit pixels.

        symbols: (C, window.height, window.width), with the tile's neighbourhood.
        """
        delta = self._steps[point.step]
        place = tile.slices(self._grid, self._model.architecture.downsampling)
        original = self._pixels[place]
        decoded = self._transforms.pixels(symbols, window, tile, point.width, delta)
        decoded = decoded[: len(original), : original.shape[1]]
        if self._grey:
            decoded = make_grey(decoded)
        visible = None if self._visible is None else self._visible[place]
        return squared_error(decoded, original, visible)


def make_grey(pixels: Pixels) -> Pixels:
    """Replace each channel by the rounded mean of the three."""
    grey = np.rint(pixels.mean(axis=2)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
