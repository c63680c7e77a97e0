"""The network as the codec uses it: tiles of pixels to residuals, tiles of symbols to pixels."""

import numpy as np
import torch
from numpy.typing import NDArray

from slimcae.codec.tiles import ANALYSIS_HALO, SYNTHESIS_HALO, Tile, latent_grid, split
from slimcae.coding.tables import MAX_SYMBOL
from slimcae.errors import ConfigError, ModelError
from slimcae.model.config import PRECISIONS
from slimcae.model.device import resolve_device
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
        if precision not in PRECISIONS:
            raise ConfigError(
                f"unknown precision {precision!r}: choose from {', '.join(PRECISIONS)}"
            )
        self.device = resolve_device(device)
        self.precision = precision
        self.model = model.to(self.device).eval()

    def residuals(self, pixels: Pixels, tile: Tile, width: int) -> Residuals:
        """Y − median of one tile of an image (H, W, 3): (width, tile.height, tile.width).

        The image's last row and column are repeated up to multiples of 16.

        Raises:
            ModelError: latents that are not finite.
        """
        window = tile.grown(ANALYSIS_HALO, latent_grid(pixels.shape[:2]))
        rows, columns = window.slices(Tile(0, 0, 0, 0), DOWNSAMPLING)
        part = pixels[rows, columns]
        pad = (
            (0, DOWNSAMPLING * window.height - part.shape[0]),
            (0, DOWNSAMPLING * window.width - part.shape[1]),
            (0, 0),
        )
        x = torch.from_numpy(np.pad(part, pad, mode="edge")).to(self.device)
        medians = self.model.entropy_bottleneck(width).medians[:, None, None]
        with self._precision(), torch.inference_mode():
            # as channels-last, which the pixels already are
            y = self.model.g_a(x.permute(2, 0, 1)[None].float() / 255, width)[0].float()
            inner = tile.slices(window)
            residuals = y[:, inner[0], inner[1]] - medians
        if not torch.isfinite(residuals).all():
            raise ModelError(f"the model's latents at width {width} are not finite")
        return np.ascontiguousarray(residuals.cpu().numpy())

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
        with self._precision(), torch.inference_mode():
            k = torch.from_numpy(symbols[:, rows, columns]).to(self.device)
            x_hat = self.model.g_s((medians + step * k.float())[None])[0]
            inner = tile.slices(window, DOWNSAMPLING)
            x_hat = x_hat[:, inner[0], inner[1]].float()
            if not torch.isfinite(x_hat).all():
                raise ModelError(f"the reconstruction at width {width} is not finite")
            levels = torch.round(x_hat.clamp(0, 1) * 255).to(torch.uint8)
        return levels.permute(1, 2, 0).contiguous().cpu().numpy()

    def image(self, symbols: Symbols, size: tuple[int, int], step: float, side: int) -> Pixels:
        """The whole image (H, W, 3) of `size`, in tiles of `side` latents."""
        grid = latent_grid(size)
        image = np.empty((*size, 3), np.uint8)
        for tile in split(grid, side):
            rows, columns = tile.slices(grid, DOWNSAMPLING)
            target = image[rows, columns]
            target[:] = self.pixels(symbols, grid, tile, step)[: len(target), : target.shape[1]]
        return image

    def _precision(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"
        )


def quantise(residuals: Residuals, step: float) -> Symbols:
    """Symbols round((y − median) / Δ), clipped to ±32767."""
    symbols = np.rint(residuals / np.float32(step))
    clipped: Symbols = np.clip(symbols, -MAX_SYMBOL, MAX_SYMBOL).astype(np.int16)
    return clipped
