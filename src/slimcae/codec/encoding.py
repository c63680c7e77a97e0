"""One picture being compressed: its residuals, what each operating point costs, and its streams."""

import logging
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from slimcae.codec.tiled import TiledTransforms, quantise
from slimcae.codec.tiles import split
from slimcae.coding.coder import longest_stream
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.tables import MAX_SYMBOL
from slimcae.errors import BitstreamError
from slimcae.images.distortion import mse, psnr, squared_error
from slimcae.model.model import Model
from slimcae.model.quality import Point
from slimcae.transforms import Pixels, Residuals, Symbols

log = logging.getLogger("slimcae")

KEPT_WIDTHS = 2
"""Number of widths whose residuals are cached for a multi-tile picture."""


class Encoding:
    """A picture being encoded; rate control tries operating points on it.

    The network's analysis runs once per width for a picture of one tile. Of a larger picture only
    the residuals of the two widths last used are kept, which bounds memory: they take less than
    twice what the 8-bit picture does. A search goes back and forth between two widths at most.

    pixels: (H, W, 3). visible: (H, W), the pixels whose error counts (None: all). grey: the
    decoder will make the picture grey. overhead: bytes of the file beside the streams. side: of the
    tiles, in latents. effort: chooses the entropy model.
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
        effort: str,
    ) -> None:
        self._pixels = pixels
        self._visible = visible
        self._grey = grey
        self.overhead = overhead
        self.num_pixels = pixels.shape[0] * pixels.shape[1]
        self._model = model
        self._transforms = transforms
        self._effort = effort
        self._steps = model.steps
        self._grid = transforms.grid((pixels.shape[0], pixels.shape[1]))
        self._side = side
        self._tiles = list(split(self._grid, side))
        self._residuals: dict[int, Residuals] = {}  # the width last used comes last
        self._sizes: dict[Point, int] = {}
        self._psnr: dict[Point, float] = {}

    @property
    def analysed(self) -> Collection[int]:
        """The widths whose residuals are at hand."""
        return self._residuals.keys()

    def analyse(self, width: int) -> None:
        """Run the analysis of a width unless its residuals are at hand, and keep them."""
        self._kept(width)

    def size(self, point: Point) -> int:
        """Return the bytes of the whole file: exact for one tile, else a bound, 0.3 % above."""
        if point not in self._sizes:
            if len(self._tiles) == 1:
                streams = self.streams(point, verify=False)
                self._sizes[point] = self.overhead + len(streams[0])
            else:  # the residuals will not stay: measure all that may be asked for
                self._sizes |= self._longest(point.width)
        return self._sizes[point]

    def psnr(self, point: Point) -> float:
        """PSNR in dB of what is visible of the decoded 8-bit picture; infinite without error."""
        if point not in self._psnr:
            self._psnr[point] = self._measure_psnr(point)
        return self._psnr[point]

    def streams(self, point: Point, *, verify: bool) -> list[bytes]:
        """Return the coded tiles in raster order; one tile is coded while the next is analysed.

        Raises:
            BitstreamError: with `verify`, symbols that do not come back from a stream.
        """
        entropy_model, step = self._entropy_model(point.width), point.step

        def encode(symbols: Symbols) -> bytes:
            stream = entropy_model.encode(symbols, step)
            if verify and not np.array_equal(
                entropy_model.decode(stream, symbols.shape, step), symbols
            ):
                raise BitstreamError("verification failed: the coded symbols do not come back")
            return stream

        if len(self._tiles) == 1:  # nothing to do meanwhile
            return [encode(symbols) for symbols in self._symbols(point)]
        with ThreadPoolExecutor(1) as pool:
            pending = [pool.submit(encode, symbols) for symbols in self._symbols(point)]
            return [stream.result() for stream in pending]

    def _entropy_model(self, width: int) -> EntropyModel:
        return self._model.entropy_model(width, self._model.kind(width, self._effort))

    def _symbols(self, point: Point) -> Iterator[Symbols]:
        clipped = 0
        for residuals in self._analysed(point.width, keep=len(self._tiles) == 1):
            symbols = quantise(residuals, self._steps[point.step])
            clipped += int((np.abs(symbols) == MAX_SYMBOL).sum())
            yield symbols
        if clipped:
            log.info("%d symbols at the limit of ±%d may be clipped", clipped, MAX_SYMBOL)

    def _analysed(self, width: int, *, keep: bool) -> Iterator[Residuals]:
        """The residuals tile by tile, computed while they are asked for, or known from before."""
        known = self._residuals.get(width)
        if known is None and keep:
            known = self._kept(width)
        for tile in self._tiles:
            if known is None:
                yield self._transforms.residuals(self._pixels, tile, width)
            else:
                yield known[:, *tile.slices(self._grid)]

    def _kept(self, width: int) -> Residuals:
        """The residuals of the whole picture (C, h, w), which stay until others need room."""
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
        """Return, for each step of a width, a size that the file cannot exceed."""
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
        residuals = self._kept(point.width)
        squares = 0
        for tile in self._tiles:
            window = tile.grown(architecture.synthesis_halo, self._grid)
            symbols = quantise(residuals[:, *window.slices(self._grid)], delta)
            decoded = self._transforms.pixels(symbols, window, tile, point.width, delta)
            place = tile.slices(self._grid, architecture.downsampling)
            original = self._pixels[place]
            decoded = decoded[: len(original), : original.shape[1]]
            if self._grey:
                decoded = make_grey(decoded)
            visible = None if self._visible is None else self._visible[place]
            squares += squared_error(decoded, original, visible)
        count = self.num_pixels if self._visible is None else int(self._visible.sum())
        return psnr(mse(squares, count * self._pixels.shape[2]))


def make_grey(pixels: Pixels) -> Pixels:
    """Replace each channel by the rounded mean of the three."""
    grey = np.rint(pixels.mean(axis=2)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
