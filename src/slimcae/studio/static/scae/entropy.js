// What all entropy models share: streams to symbols, part after part; docs/format.md, "Parts".

import { ScaeError } from "./errors.js";
import { RangeDecoder } from "./range_decoder.js";

const MAX_SYMBOL = 32767;

/**
 * Symbols of one tile: channels, rows and columns of latents.
 * @typedef {{channels: number, height: number, width: number}} Shape
 */

/**
 * How the symbols of a tile are coded.
 * @typedef {object} EntropyModel
 * @property {import("./range_decoder.js").CodingTables} tables
 * @property {number} channels
 * @property {(step: number) => number} fewestBits lower bound of what one place costs
 * @property {(part: PartReader, shape: Shape, step: number) => Int16Array} walk reads all parts in
 *   order and returns the symbols, channel after channel in raster order
 */

/** Reads the parts of one stream. */
export class PartReader {
  #decoder;
  #tables;
  #starts;
  #places = new Int32Array(0);
  #escaped = new Int32Array(0);

  /** @param {Uint8Array} stream @param {import("./range_decoder.js").CodingTables} tables */
  constructor(stream, tables) {
    this.#decoder = new RangeDecoder(stream);
    this.#tables = tables;
    this.#starts = new Int32Array(tables.numTables + 1);
  }

  /**
   * Read one part.
   * @param {Uint16Array} which table of each value, in the part's order
   * @param {number} count of the values
   * @param {Int32Array} values written
   * @throws {ScaeError}
   */
  take(which, count, values) {
    if (this.#places.length < count) {
      this.#places = new Int32Array(count);
      this.#escaped = new Int32Array(count);
    }
    const starts = this.#starts.fill(0);
    const places = this.#places;
    for (let k = 0; k < count; k++) starts[which[k] + 1] += 1;
    for (let table = 1; table < starts.length; table++) starts[table] += starts[table - 1];
    for (let k = 0; k < count; k++) places[starts[which[k]]++] = k;
    // now `starts` has where each table's values end
    let escapes = 0;
    let from = 0;
    for (let table = 0; table < starts.length - 1; table++) {
      const to = starts[table];
      if (to === from) continue;
      escapes = this.#decoder.decode(this.#tables, table, places, from, to, values, this.#escaped, escapes);
      from = to;
    }
    if (escapes) this.#decoder.decodeEscaped(this.#escaped, escapes, values);
  }

  /** @throws {ScaeError} the stream does not end here */
  end() {
    this.#decoder.end();
  }
}

/**
 * Refuse a number of bytes that cannot hold so many symbols, before anything is decoded.
 * @param {EntropyModel} model @param {number} length @param {Shape} shape @param {number} step
 * @throws {ScaeError}
 */
export function checkLength(model, length, shape, step) {
  if (length % 4) throw new ScaeError(`${length} bytes of coded symbols: must be a multiple of 4`);
  const places = shape.height * shape.width;
  // one bit is for the rounding of the sums
  if (!length || model.fewestBits(step) * places > 8 * length + 1)
    throw new ScaeError(`${length} bytes cannot hold ${shape.channels * places} coded symbols`);
}

/**
 * @param {EntropyModel} model @param {Uint8Array} stream of one tile
 * @param {Shape} shape not empty @param {number} step
 * @returns {Int16Array} symbols, channel after channel in raster order
 * @throws {ScaeError} no stream that an encoder could have made
 */
export function decodeSymbols(model, stream, shape, step) {
  checkLength(model, stream.length, shape, step);
  const reader = new PartReader(stream, model.tables);
  const symbols = model.walk(reader, shape, step);
  reader.end();
  if (symbols.some((symbol) => symbol < -MAX_SYMBOL))
    throw new ScaeError(`a coded symbol is beyond ±${MAX_SYMBOL}`);
  return symbols;
}
