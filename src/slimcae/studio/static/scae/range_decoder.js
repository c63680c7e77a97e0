// The range decoder: words to indices; docs/format.md, "Range decoder".
//
// `range` and `distance` have 64 bits. Doubles hold integers below 2⁵³ exactly, so a number x is kept
// as ⌊x / 2²⁴⌋ (40 bits) and x mod 2²⁴. Then `scale` is the upper part of the range, whose lower part
// nothing reads; products are made of pieces of 16 or 24 bits with factors below 2²⁴, and the quotient
// of 24 bits in two halves of 12, of numerators below 2⁵². The quotient of two such integers below 2⁵²
// is less than an integer by 2⁻⁴⁰ or more, or equal to it, and rounds by 2⁻⁴² at most: ⌊ ⌋ is exact.

import { ScaeError } from "./errors.js";

const LOW = 2 ** 24; // of the lower part; also the sum of a table's counts
const UP = 1 / LOW;
const HALF = 2 ** 12;
const QUICK_BITS = 8;
const UNIFORM = 256; // count of each of the 65536 values behind an escape

/** Tables as sums of counts, with a shortcut to where a quantile lies. */
export class CodingTables {
  #quick;

  /**
   * @param {Int32Array} minimum first value of each table
   * @param {Int32Array} length entries of each table, the escape included
   * @param {Int32Array} counts of all tables, one after the other
   */
  constructor(minimum, length, counts) {
    this.minimum = minimum;
    this.length = length;
    this.counts = counts;
    /** where each table's entries begin */
    this.starts = new Int32Array(length.length);
    for (let table = 1; table < length.length; table++)
      this.starts[table] = this.starts[table - 1] + length[table - 1];
    /** sum of the counts before each entry, within its table */
    this.before = new Int32Array(counts.length);
    for (let table = 0; table < length.length; table++)
      for (let entry = 1; entry < length[table]; entry++) {
        const at = this.starts[table] + entry;
        this.before[at] = this.before[at - 1] + counts[at - 1];
      }
    this.#quick = new Array(length.length);
  }

  get numTables() {
    return this.length.length;
  }

  /**
   * @param {number} table
   * @returns {Int32Array} for the upper bits of a quantile, the entry that its lowest one lies in
   */
  quick(table) {
    return (this.#quick[table] ??= this.#makeQuick(table));
  }

  /** @param {number} table @returns {number} bits of its likeliest value */
  fewestBits(table) {
    const end = this.starts[table] + this.length[table] - 1;
    let largest = this.counts[end] / 65536;
    for (let at = this.starts[table]; at < end; at++) largest = Math.max(largest, this.counts[at]);
    return 24 - Math.log2(largest);
  }

  #makeQuick(table) {
    const found = new Int32Array(1 << QUICK_BITS);
    const last = this.starts[table] + this.length[table] - 1;
    let at = this.starts[table];
    for (let upper = 0; upper < found.length; upper++) {
      while (at < last && this.before[at + 1] <= upper * 2 ** (24 - QUICK_BITS)) at += 1;
      found[upper] = at;
    }
    return found;
  }
}

/** Reads one stream. */
export class RangeDecoder {
  #words;
  #read = 0;
  #scale; // ⌊range / 2²⁴⌋
  #high; // of distance
  #low;

  /** @param {Uint8Array} bytes @throws {ScaeError} */
  constructor(bytes) {
    if (bytes.length % 4)
      throw new ScaeError(`${bytes.length} bytes of coded symbols: must be a multiple of 4`);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#words = new Uint32Array(bytes.length / 4);
    for (let k = 0; k < this.#words.length; k++) this.#words[k] = view.getUint32(4 * k, true);
    const first = this.#next();
    const second = this.#next();
    this.#scale = 2 ** 40 - 1;
    this.#high = first * 256 + (second >>> 24);
    this.#low = second & 0xffffff;
  }

  /**
   * Decode values of one table.
   * @param {CodingTables} tables
   * @param {number} table
   * @param {Int32Array} places where in `values` each goes
   * @param {number} from @param {number} to of `places`
   * @param {Int32Array} values written
   * @param {Int32Array} escaped gets the places of escapes
   * @param {number} numEscaped so far
   * @returns {number} escapes so far
   * @throws {ScaeError} no encoder made these bytes
   */
  decode(tables, table, places, from, to, values, escaped, numEscaped) {
    const { before, counts } = tables;
    const quick = tables.quick(table);
    const first = tables.starts[table];
    const last = first + tables.length[table] - 1;
    const offset = tables.minimum[table] - first;
    const words = this.#words;
    let read = this.#read;
    let scale = this.#scale;
    let high = this.#high;
    let low = this.#low;
    for (let k = from; k < to; k++) {
      // quantile = ⌊distance / scale⌋, and what remains
      const upper = high * HALF + (low >>> 12);
      const q1 = Math.floor(upper / scale);
      const middle = (upper - q1 * scale) * HALF + (low & 0xfff);
      const q0 = Math.floor(middle / scale);
      const rest = middle - q0 * scale;
      if (q1 >= HALF) throw new ScaeError("the coded symbols are damaged");
      const quantile = q1 * HALF + q0;
      let at = quick[quantile >> (24 - QUICK_BITS)];
      while (at < last && before[at + 1] <= quantile) at += 1;
      // distance = scale · (quantile − before) + rest, range = scale · count
      const s1 = Math.floor(scale * UP);
      const s0 = scale - s1 * LOW;
      const behind = quantile - before[at];
      const lower = s0 * behind + rest;
      const carry = Math.floor(lower * UP);
      high = s1 * behind + carry;
      low = lower - carry * LOW;
      const count = counts[at];
      const product = s0 * count;
      const over = Math.floor(product * UP);
      scale = s1 * count + over;
      if (scale < 256) {
        // range < 2³²
        scale = scale * 256 * LOW + (product - over * LOW) * 256;
        const word = read < words.length ? words[read] : 0;
        read += 1;
        high = (high * LOW + low) * 256 + (word >>> 24);
        low = word & 0xffffff;
      }
      if (at === last) escaped[numEscaped++] = places[k];
      else values[places[k]] = offset + at;
    }
    this.#read = read;
    this.#scale = scale;
    this.#high = high;
    this.#low = low;
    return numEscaped;
  }

  /**
   * Decode the values behind escapes.
   * @param {Int32Array} escaped places @param {number} count of them
   * @param {Int32Array} values written
   */
  decodeEscaped(escaped, count, values) {
    uniform ??= new CodingTables(
      Int32Array.of(-32768),
      Int32Array.of(65537),
      new Int32Array(65537).fill(UNIFORM, 0, 65536),
    );
    this.decode(uniform, 0, escaped, 0, count, values, NONE, 0);
  }

  /** @throws {ScaeError} the stream does not end here */
  end() {
    const distance = this.#high * LOW + this.#low; // exact where it matters, below 2⁵³
    const left = this.#read - this.#words.length;
    if (left < 0 || left > 1 || distance >= 2 ** 33 - 1)
      throw new ScaeError("the coded symbols do not end where the picture does");
  }

  #next() {
    this.#read += 1;
    return this.#words[this.#read - 1] ?? 0;
  }
}

const NONE = new Int32Array(0);
let uniform = null;
