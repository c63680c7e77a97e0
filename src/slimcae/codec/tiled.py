"""The transforms applied to pictures tile by tile, each tile with its halo."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from slimcae.codec.tiles import Tile, latent_grid, split
from slimcae.coding.tables import MAX_SYMBOL
from slimcae.model.architecture import Architecture
from slimcae.transforms import Pixels, Residuals, Symbols, Transforms


class TiledTransforms:
    """g_a and g_s of one model on parts of a picture.

    The result equals that of the whole picture, up to rounding in float32; the tile bounds memory.

    watch: called before each tile; its exceptions stop the computation.
    """

    def __init__(
        self,
        transforms: Transforms,
        architecture: Architecture,
        watch: Callable[[], None] | None = None,
    ) -> None:
        self.transforms = transforms
        self.architecture = architecture
        self._watch = watch

    @property
    def threads(self) -> int:
        """Number of threads that one call uses."""
        return self.transforms.threads

    def tick(self) -> None:
        """Call `watch`; done before anything that takes long."""
        if self._watch is not None:
            self._watch()

    def grid(self, size: tuple[int, int]) -> Tile:
        """Return all latents of an image of `size` (H, W) pixels."""
        return latent_grid(size, self.architecture.downsampling)

    def residuals(self, pixels: Pixels, tile: Tile, width: int) -> Residuals:
        """Return y − median of one tile of an image (H, W, 3): (C, tile.height, tile.width).

        The last row and column of the image are repeated up to whole latents.

        Raises:
            ModelError: Latents are not finite.
        """
        self.tick()
        scale = self.architecture.downsampling
        window = tile.grown(self.architecture.analysis_halo, self.grid(pixels.shape[:2]))
        part = pixels[window.slices(_ORIGIN, scale)]
        below = scale * window.height - part.shape[0]
        right = scale * window.width - part.shape[1]
        if below or right:
            part = np.pad(part, ((0, below), (0, right), (0, 0)), mode="edge")
        residuals = self.transforms.residuals(part, width)
        return np.ascontiguousarray(residuals[:, *tile.slices(window)])

    def pixels(
        self, symbols: Symbols, region: Tile, tile: Tile, width: int, delta: float
    ) -> Pixels:
        """Return the pixels of a tile: (s · tile.height, s · tile.width, 3), s the downsampling.

        symbols: (C, region.height, region.width), the known symbols; `region` must contain the
            tile and its halo, clipped to the picture.

        Raises:
            ModelError: The reconstruction is not finite.
        """
        self.tick()
        window = tile.grown(self.architecture.synthesis_halo, region)
        rows, columns = window.slices(region)
        image = self.transforms.pixels(symbols[:, rows, columns], width, delta)
        return image[tile.slices(window, self.architecture.downsampling)]

    def image(
        self, symbols: Symbols, size: tuple[int, int], width: int, delta: float, side: int
    ) -> Pixels:
        """Return the whole image (H, W, 3) of `size`, computed in tiles of `side` latents."""
        grid = self.grid(size)
        image = np.empty((*size, 3), np.uint8)
        for tile in split(grid, side):
            target = image[tile.slices(grid, self.architecture.downsampling)]
            pixels = self.pixels(symbols, grid, tile, width, delta)
            target[:] = pixels[: len(target), : target.shape[1]]
        return image


_ORIGIN = Tile(0, 0, 0, 0)


def quantise(residuals: NDArray[np.float32], delta: float) -> Symbols:
    """Return symbols round((y − median) / Δ), clipped to ±32767."""
    symbols = np.rint(residuals / np.float32(delta))
    clipped: Symbols = np.clip(symbols, -MAX_SYMBOL, MAX_SYMBOL).astype(np.int16)
    return clipped
