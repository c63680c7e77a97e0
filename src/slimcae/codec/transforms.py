"""The network as the codec uses it: tiles of pixels to residuals, tiles of symbols to pixels."""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from slimcae.codec.tiles import ANALYSIS_HALO, SYNTHESIS_HALO, Tile, latent_grid, split
from slimcae.coding.tables import MAX_SYMBOL
from slimcae.errors import ModelError
from slimcae.model.device import resolve_device, resolve_precision
from slimcae.model.inference import Analysis, Synthesis
from slimcae.model.slimcae import DOWNSAMPLING, SlimCAE

Pixels = NDArray[np.uint8]
Residuals = NDArray[np.float32]
Symbols = NDArray[np.int16]


class Transforms:
    """g_a and g_s of one model on one device, tile by tile.

    A tile is computed with the true neighbourhood around it, so that it comes out as the whole
    picture would (up to the last bits of float32), and memory is bounded by the tile.
    """

    def __init__(self, model: SlimCAE, device: str, precision: str) -> None:
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self.model = model.to(self.device).eval()
        inner = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        self._analysis = cache(lambda width: Analysis(model, width, inner))
        self._synthesis = cache(lambda width: Synthesis(model, width, inner))

    def residuals(self, pixels: Pixels, tile: Tile, width: int) -> Residuals:
        """Y − median of one tile of an image (H, W, 3): (width, tile.height, tile.width).

        The image's last row and column are repeated up to multiples of 16.

        Raises:
            ModelError: latents that are not finite.
        """
        window = tile.grown(ANALYSIS_HALO, latent_grid(pixels.shape[:2]))
        rows, columns = window.slices(Tile(0, 0, 0, 0), DOWNSAMPLING)
        part = pixels[rows, columns]
        below = DOWNSAMPLING * window.height - part.shape[0]
        right = DOWNSAMPLING * window.width - part.shape[1]
        if below or right:
            part = np.pad(part, ((0, below), (0, right), (0, 0)), mode="edge")
        medians = self.model.entropy_bottleneck(width).medians[:, None, None]
        with torch.inference_mode():
            # a copy, since torch warns of arrays that cannot be written
            y = self._analysis(width)(torch.tensor(part, device=self.device))
            inner = tile.slices(window)
            residuals = (y[:, *inner] - medians).contiguous()
            if not torch.isfinite(residuals.sum()):
                raise ModelError(f"the model's latents at width {width} are not finite")
        found: Residuals = residuals.cpu().numpy()
        return found

    def pixels(self, symbols: Symbols, region: Tile, tile: Tile, step: float) -> Pixels:
        """Pixels (16 · tile.height, 16 · tile.width, 3) of a tile.

        symbols: (width, region.height, region.width), all that are known: `region` must hold the
            tile's neighbourhood as far as the picture has it.

        Raises:
            ModelError: a reconstruction that is not finite.
        """
        width = len(symbols)
        window = tile.grown(SYNTHESIS_HALO, region)
        rows, columns = window.slices(region)
        medians = self.model.entropy_bottleneck(width).medians[:, None, None]
        with torch.inference_mode():
            k = torch.from_numpy(symbols[:, rows, columns]).to(self.device)
            image = self._synthesis(width)(medians + step * k.float())
            if image is None:
                raise ModelError(f"the reconstruction at width {width} is not finite")
            inner = tile.slices(window, DOWNSAMPLING)
            levels: Pixels = image[inner].contiguous().cpu().numpy()
        return levels

    def image(self, symbols: Symbols, size: tuple[int, int], step: float, side: int) -> Pixels:
        """The whole image (H, W, 3) of `size`, in tiles of `side` latents."""
        grid = latent_grid(size)
        image = np.empty((*size, 3), np.uint8)
        for tile in split(grid, side):
            rows, columns = tile.slices(grid, DOWNSAMPLING)
            target = image[rows, columns]
            target[:] = self.pixels(symbols, grid, tile, step)[: len(target), : target.shape[1]]
        return image


def quantise(residuals: Residuals, step: float) -> Symbols:
    """Symbols round((y − median) / Δ), clipped to ±32767."""
    symbols = np.rint(residuals / np.float32(step))
    clipped: Symbols = np.clip(symbols, -MAX_SYMBOL, MAX_SYMBOL).astype(np.int16)
    return clipped
