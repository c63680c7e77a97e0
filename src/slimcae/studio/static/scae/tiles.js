// The geometry of tiles: rectangles of latents, rows top … bottom − 1, columns left … right − 1.

/** @typedef {{top: number, left: number, bottom: number, right: number}} Tile */

/** @param {Tile} tile */
export const heightOf = (tile) => tile.bottom - tile.top;
/** @param {Tile} tile */
export const widthOf = (tile) => tile.right - tile.left;

/**
 * A tile with its neighbourhood, as far as that exists.
 * @param {Tile} tile @param {number} halo @param {Tile} within @returns {Tile}
 */
export function grown(tile, halo, within) {
  return {
    top: Math.max(tile.top - halo, within.top),
    left: Math.max(tile.left - halo, within.left),
    bottom: Math.min(tile.bottom + halo, within.bottom),
    right: Math.min(tile.right + halo, within.right),
  };
}

/** @param {Tile} tile @param {Tile} other @returns {boolean} whether they have a latent in common */
export function touch(tile, other) {
  const common = grown(tile, 0, other);
  return heightOf(common) > 0 && widthOf(common) > 0;
}

/**
 * A region in tiles of the grid whose lines lie `side` latents apart, in raster order.
 * @param {Tile} region @param {number} side @returns {Tile[]}
 */
export function split(region, side) {
  const tiles = [];
  for (let top = Math.floor(region.top / side) * side; top < region.bottom; top += side)
    for (let left = Math.floor(region.left / side) * side; left < region.right; left += side)
      tiles.push(grown({ top, left, bottom: top + side, right: left + side }, 0, region));
  return tiles;
}

/**
 * The whole tiles of a grid that a region touches, with their numbers in raster order.
 * @param {Tile} region @param {Tile} grid @param {number} side
 * @returns {{number: number, tile: Tile}[]}
 */
export function covering(region, grid, side) {
  const columns = Math.ceil(grid.right / side);
  const found = [];
  for (let row = Math.floor(region.top / side); row < Math.ceil(region.bottom / side); row++)
    for (let column = Math.floor(region.left / side); column < Math.ceil(region.right / side); column++) {
      const [top, left] = [row * side, column * side];
      const tile = grown({ top, left, bottom: top + side, right: left + side }, 0, grid);
      found.push({ number: row * columns + column, tile });
    }
  return found;
}
