"""Where the time of one picture goes: network, coder, and everything else."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from slimcae.codec import Codec
from slimcae.codec.tiles import latent_grid, split
from slimcae.codec.transforms import quantise
from slimcae.coding.coder import SymbolCoder
from slimcae.images import Picture
from slimcae.model.slimcae import DOWNSAMPLING

T = TypeVar("T")


@dataclass(frozen=True)
class Stages:
    """Seconds of one way through the codec.

    whole: the call that a user makes, pixels to bytes or back. network: the transforms alone, with
    the conversion of pixels. coder: symbols to bytes, or back, alone.
    """

    whole: float
    network: float
    coder: float

    @property
    def rest(self) -> float:
        """Padding, rounding, container, checksums, threads; negative if parts ran in parallel."""
        return self.whole - self.network - self.coder


def stage_seconds(
    codec: Codec, pixels: NDArray[np.uint8], width: int, coder: SymbolCoder
) -> tuple[Stages, Stages]:
    """Encoding and decoding of one picture (H, W, 3) at Δ = 1, each stage run once by itself.

    coder: with the tables of this width and step 0; it should have been used before.
    """
    picture = Picture(pixels)
    data, encode_whole = _timed(lambda: codec.compress(picture, width))
    image, decode_whole = _timed(lambda: np.asarray(codec.decompress(data)))

    grid = latent_grid(image.shape[:2])
    tiles = list(split(grid, codec.tile_side // DOWNSAMPLING))
    transforms, step = codec.transforms, codec.model.steps[0]
    residuals, analysis = _timed(
        lambda: [transforms.residuals(pixels, tile, width) for tile in tiles]
    )
    symbols = np.empty((width, grid.height, grid.width), np.int16)
    for tile, part in zip(tiles, residuals, strict=True):
        symbols[:, *tile.slices(grid)] = quantise(part, step)
    parts = [np.ascontiguousarray(symbols[:, *tile.slices(grid)]) for tile in tiles]
    streams, encoder = _timed(lambda: [coder.encode(part) for part in parts])
    _, decoder = _timed(
        lambda: [coder.decode(s, part.shape) for s, part in zip(streams, parts, strict=True)]
    )
    _, synthesis = _timed(lambda: [transforms.pixels(symbols, grid, tile, step) for tile in tiles])
    return Stages(encode_whole, analysis, encoder), Stages(decode_whole, synthesis, decoder)


def _timed(run: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start
