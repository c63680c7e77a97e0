// The symbols of a region of a picture, decoded tile by tile; docs/format.md, "Tiles".

import { checkLength, decodeSymbols } from "./entropy.js";
import { covering, grown, heightOf, touch, widthOf } from "./tiles.js";

/** Symbols of a region; `data` has them channel after channel in raster order. */
export class RegionSymbols {
  #reader;
  #model;
  #pending;

  /**
   * Nothing is decoded yet, but every stream was seen to be long enough for its tile.
   * @param {import("./container.js").Reader} reader
   * @param {import("./entropy.js").EntropyModel} model
   * @param {import("./tiles.js").Tile} region of latents
   * @param {import("./tiles.js").Tile} grid all latents
   * @param {number} downsampling pixels a latent
   * @throws {import("./errors.js").ScaeError}
   */
  constructor(reader, model, region, grid, downsampling) {
    const { header } = reader;
    this.#reader = reader;
    this.#model = model;
    this.#pending = covering(region, grid, header.tileSide / downsampling);
    for (const { number, tile } of this.#pending)
      checkLength(model, reader.tileBytes(number), this.#shape(tile), header.step);
    this.region = region;
    this.channels = model.channels;
    this.data = new Int16Array(this.channels * heightOf(region) * widthOf(region));
  }

  /**
   * Decode what a window of the region needs and lacks.
   * @param {import("./tiles.js").Tile} window
   * @throws {import("./errors.js").ScaeError}
   */
  need(window) {
    const needed = this.#pending.filter(({ tile }) => touch(tile, window));
    this.#pending = this.#pending.filter((each) => !needed.includes(each));
    for (const { number, tile } of needed) {
      const { step } = this.#reader.header;
      this.#put(tile, decodeSymbols(this.#model, this.#reader.tile(number), this.#shape(tile), step));
    }
  }

  #shape(tile) {
    return { channels: this.#model.channels, height: heightOf(tile), width: widthOf(tile) };
  }

  #put(tile, symbols) {
    const { region, data } = this;
    const common = grown(tile, 0, region);
    const width = widthOf(common);
    for (let c = 0; c < this.channels; c++)
      for (let row = common.top; row < common.bottom; row++) {
        const from = (c * heightOf(tile) + row - tile.top) * widthOf(tile) + common.left - tile.left;
        const to = (c * heightOf(region) + row - region.top) * widthOf(region) + common.left - region.left;
        data.set(symbols.subarray(from, from + width), to);
      }
  }
}
