"""The geometry of tiles: rectangles of latents."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """A rectangle of latents: rows top … bottom − 1, columns left … right − 1."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows of latents."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns of latents."""
        return self.right - self.left

    def grown(self, halo: int, within: "Tile") -> "Tile":
        """Return this tile enlarged by `halo` on all sides, clipped to `within`."""
        return Tile(
            max(self.top - halo, within.top),
            max(self.left - halo, within.left),
            min(self.bottom + halo, within.bottom),
            min(self.right + halo, within.right),
        )

    def touches(self, other: "Tile") -> bool:
        """Return whether the tiles overlap."""
        common = self.grown(0, other)
        return common.height > 0 and common.width > 0

    def slices(self, origin: "Tile", scale: int = 1) -> tuple[slice, slice]:
        """Return the slices of this tile in an array that covers `origin`, `scale` per latent."""
        return (
            slice(scale * (self.top - origin.top), scale * (self.bottom - origin.top)),
            slice(scale * (self.left - origin.left), scale * (self.right - origin.left)),
        )


def latent_grid(size: tuple[int, int], downsampling: int) -> Tile:
    """Return all latents of an image of `size` (H, W) pixels: ⌈H/s⌉ rows of ⌈W/s⌉."""
    return Tile(0, 0, -(-size[0] // downsampling), -(-size[1] // downsampling))


def split(region: Tile, side: int) -> Iterator[Tile]:
    """Split a region along the grid of `side` latents; yield the tiles in raster order."""
    for top in range(region.top // side * side, region.bottom, side):
        for left in range(region.left // side * side, region.right, side):
            yield Tile(
                max(top, region.top),
                max(left, region.left),
                min(top + side, region.bottom),
                min(left + side, region.right),
            )


def covering(region: Tile, grid: Tile, side: int) -> Iterator[tuple[int, Tile]]:
    """Yield the whole tiles that overlap a region, with their numbers in raster order."""
    columns = -(-grid.width // side)
    for row in range(region.top // side, -(-region.bottom // side)):
        for column in range(region.left // side, -(-region.right // side)):
            tile = Tile(row * side, column * side, (row + 1) * side, (column + 1) * side)
            yield row * columns + column, tile.grown(0, grid)
