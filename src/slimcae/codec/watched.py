"""The network with somebody who watches it work, tile by tile."""

from collections.abc import Callable

from slimcae.codec.tiles import Tile
from slimcae.codec.transforms import Pixels, Residuals, Symbols, Transforms


class WatchedTransforms(Transforms):
    """Transforms that call `watch` before each tile; what it raises ends the work.

    Model, device and everything else are shared with the transforms they are made of.
    """

    def __init__(self, transforms: Transforms, watch: Callable[[], None]) -> None:
        self.__dict__.update(transforms.__dict__)
        self._watch = watch

    def residuals(self, pixels: Pixels, tile: Tile, width: int) -> Residuals:
        """As `Transforms.residuals`."""
        self._watch()
        return super().residuals(pixels, tile, width)

    def pixels(self, symbols: Symbols, region: Tile, tile: Tile, step: float) -> Pixels:
        """As `Transforms.pixels`."""
        self._watch()
        return super().pixels(symbols, region, tile, step)
