// The context network, an integer network that predicts each symbol from those before; docs/format.md,
// "Kind `context`".
//
// All values are sums of products of integers. The bounds of model files, which Python verifies when it
// reads or exports a model, keep each sum below 2²⁴ in any order, so 32 bits suffice. Most symbols are
// 0 and most hidden numbers are clipped to 0; zeros are skipped in the sums.

import { CodingTables } from "./range_decoder.js";
import { RowSums, padded } from "./row_sums.js";

const ACTIVATION = 127;
const LARGEST_MEAN = 4095;
const TAPS = 9;
const SIGNS = 3; // −, 0 and +: rows of a kernel for each
const OFFSET_PLACES = 4;
const BYTES = 4; // of a number

/** @implements {import("./entropy.js").EntropyModel} */
export class ContextModel {
  #a;
  #hidden;
  #groups;
  #fewest;
  #sums = new RowSums();

  /** @param {Record<string, import("./safetensors.js").Tensor>} arrays of a model file */
  constructor(arrays) {
    const a = Object.fromEntries(Object.entries(arrays).map(([name, { data }]) => [name, data]));
    this.#a = a;
    this.tables = new CodingTables(a.minimum, a.length, a.counts);
    this.channels = a.groups.reduce((sum, channels) => sum + channels, 0);
    this.#hidden = arrays.start.shape[1];
    this.#fewest = Math.min(...Array.from(a.length, (_, table) => this.tables.fewestBits(table)));
    this.#groups = this.#prepared();
  }

  fewestBits() {
    return this.#fewest * this.channels;
  }

  /**
   * @param {import("./entropy.js").PartReader} part
   * @param {import("./entropy.js").Shape} shape
   * @param {number} step
   */
  walk(part, { height, width }, step) {
    const symbols = new Int16Array(this.channels * height * width);
    const { used } = this.#sums;
    try {
      const pass = new Pass(this.#sums, this.#a, this.#hidden, this.channels, height, width, step);
      for (const group of this.#groups) {
        pass.begin(group);
        for (const colour of [0, 1]) {
          const { which, centre, sign, count } = pass.predict(colour);
          const values = pass.values;
          part.take(which, count, values);
          for (let k = 0; k < count; k++) values[k] = ((centre[k] + sign[k] * values[k]) << 16) >> 16;
          pass.learn(colour, symbols);
        }
      }
      return symbols;
    } finally {
      this.#sums.release(used);
    }
  }

  /** The weights of each group, transposed so that each row has the weights of one input. */
  #prepared() {
    const [a, hidden, sums] = [this.#a, this.#hidden, this.#sums];
    const rows = padded(hidden);
    let first = 0;
    return Array.from(a.groups, (channels, g) => {
      const kernelCount = TAPS * channels * SIGNS * rows;
      const kernel = sums.reserve(kernelCount);
      const kernelView = sums.view(kernel, kernelCount);
      for (let row = 0; row < TAPS * channels; row++)
        for (let n = 0; n < hidden; n++) {
          const from = (18 * first + 2 * row) * hidden + n;
          const shift = a.kernel_shift[g * hidden + n];
          for (let s = 0; s < SIGNS; s++)
            kernelView[(row * SIGNS + s) * rows + n] = ((s - 1) * a.kernel[from] + a.kernel[from + hidden]) << shift;
        }
      const outRows = padded(2 * channels);
      const heads = [0, 1].map((p) => {
        const at = (g * 2 + p) * hidden;
        const mix = sums.reserve(hidden * rows);
        const mixView = sums.view(mix, hidden * rows);
        for (let n = 0; n < hidden; n++)
          for (let l = 0; l < hidden; l++) mixView[l * rows + n] = a.mix[(at + n) * hidden + l];
        const out = sums.reserve(hidden * outRows);
        const outView = sums.view(out, hidden * outRows);
        for (let k = 0; k < 2; k++)
          for (let c = 0; c < channels; c++)
            for (let n = 0; n < hidden; n++)
              outView[n * outRows + k * channels + c] =
                a.out[((p * 2 + k) * this.channels + first + c) * hidden + n];
        return {
          mix,
          out,
          bias: a.bias.subarray(at, at + hidden),
          mixBias: a.mix_bias.subarray(at, at + hidden),
          mixPlaces: a.mix_places.subarray(at, at + hidden),
        };
      });
      first += channels;
      return { first: first - channels, channels, kernel, heads };
    });
  }
}

/** One pass through the network: the state of every place of a tile. */
class Pass {
  #a;
  #hidden;
  #allChannels;
  #step;
  #height;
  #width;
  #places; // of each colour
  #sums;
  #state; // each place's numbers in a row
  #stateAt; // where it begins
  #mixed;
  #mixedAt;
  #outputs;
  #outputsAt;
  #group = null;
  #before = null; // the previous group, while its symbols are not yet in all of the state
  #known = null; // known symbols of this group, in a frame of one place; 0 if unknown
  #rows; // byte offsets of the rows that a sum adds, ...
  #rowsAt;
  #factors; // ... and their factors
  #factorsAt;

  constructor(sums, a, hidden, channels, height, width, step) {
    this.#sums = sums;
    this.#a = a;
    this.#hidden = hidden;
    this.#allChannels = channels;
    this.#step = step;
    this.#height = height;
    this.#width = width;
    const places = [[], []];
    for (let i = 0; i < height; i++) for (let j = 0; j < width; j++) places[(i + j) % 2].push(i * width + j);
    this.#places = places.map((each) => Int32Array.from(each));
    const most = Math.max(...a.groups);
    const largest = most * this.#places[0].length;
    this.values = new Int32Array(largest);
    this.which = new Uint16Array(largest);
    this.centre = new Int32Array(largest);
    this.sign = new Int8Array(largest);
    const stateCount = height * width * padded(hidden);
    this.#stateAt = sums.reserve(stateCount);
    this.#mixedAt = sums.reserve(hidden);
    this.#outputsAt = sums.reserve(2 * most);
    this.#rowsAt = sums.reserve(TAPS * most + hidden);
    this.#factorsAt = sums.reserve(TAPS * most + hidden);
    this.#state = sums.view(this.#stateAt, stateCount).fill(0);
    this.#mixed = sums.view(this.#mixedAt, hidden);
    this.#outputs = sums.view(this.#outputsAt, 2 * most);
    this.#rows = sums.view(this.#rowsAt, TAPS * most + hidden);
    this.#factors = sums.view(this.#factorsAt, TAPS * most + hidden);
  }

  /** Go on to the next group. */
  begin(group) {
    this.#before = this.#group === null ? null : { group: this.#group, known: this.#known };
    this.#group = group;
    this.#known = new Int16Array((this.#height + 2) * (this.#width + 2) * group.channels);
  }

  /**
   * Table, centre and sign of each symbol of a part, in the part's order.
   * @param {0 | 1} colour black or white
   */
  predict(colour) {
    const [a, hidden, step] = [this.#a, this.#hidden, this.#step];
    const { first, channels, heads } = this.#group;
    const { mix, out, bias, mixBias, mixPlaces } = heads[colour];
    const places = this.#places[colour];
    const state = this.#state;
    const startBias = bias.map((value, n) => value + a.start[step * hidden + n]);
    const outPlaces = new Int8Array(2 * channels);
    const outBias = new Int32Array(2 * channels);
    for (let k = 0; k < 2; k++)
      for (let c = 0; c < channels; c++) {
        const at = (colour * 2 + k) * this.#allChannels + first + c;
        outPlaces[k * channels + c] = a.out_places[at];
        outBias[k * channels + c] = a.out_bias[at] + (k ? a.offset[step] << (a.out_places[at] - OFFSET_PLACES) : 0);
      }
    const own = new Int32Array(hidden);
    const mixed = this.#mixed;
    const outputs = this.#outputs;
    const hiddenPlaces = a.places;
    const choice = a.choice;
    const [rowBytes, outBytes] = [padded(hidden) * BYTES, padded(2 * channels) * BYTES];
    const reciprocal = a.reciprocal[step];
    const lastScale = choice.length / 5 - 1;
    const { which, centre, sign } = this;
    for (let k = 0; k < places.length; k++) {
      this.#gather(colour, places[k]);
      const at = (places[k] * rowBytes) / BYTES;
      let count = 0;
      for (let n = 0; n < hidden; n++) {
        own[n] = activated((state[at + n] + startBias[n]) >> hiddenPlaces[n]);
        if (own[n]) count = this.#list(count, n * rowBytes, own[n]);
      }
      mixed.set(mixBias);
      this.#add(this.#mixedAt, rowBytes, mix, count);
      count = 0;
      for (let n = 0; n < hidden; n++) {
        const value = own[n] + activated(mixed[n] >> mixPlaces[n]);
        if (value) count = this.#list(count, n * outBytes, value);
      }
      outputs.set(outBias);
      this.#add(this.#outputsAt, outBytes, out, count);
      for (let c = 0; c < channels; c++) {
        const mean = Math.min(Math.max(outputs[c] >> outPlaces[c], -LARGEST_MEAN), LARGEST_MEAN);
        const scale = Math.min(Math.max(outputs[channels + c] >> outPlaces[channels + c], 0), lastScale);
        const eighths = (mean * reciprocal + 1024) >> 11;
        const whole = (eighths + 4) >> 3;
        const fraction = eighths - 8 * whole;
        const target = c * places.length + k;
        which[target] = choice[5 * scale + Math.abs(fraction)];
        centre[target] = whole;
        sign[target] = fraction < 0 ? -1 : 1;
      }
    }
    return { which, centre, sign, count: channels * places.length };
  }

  /**
   * Add `values`, the symbols of a part, to the context.
   * @param {0 | 1} colour
   * @param {Int16Array} symbols of the tile, written
   */
  learn(colour, symbols) {
    const a = this.#a;
    const [height, width] = [this.#height, this.#width];
    const { first, channels } = this.#group;
    const places = this.#places[colour];
    const sizes = a.features.length / (a.start.length / this.#hidden);
    for (let c = 0; c < channels; c++)
      for (let k = 0; k < places.length; k++) {
        const symbol = this.values[c * places.length + k];
        symbols[(first + c) * height * width + places[k]] = symbol;
        const worth = a.features[this.#step * sizes + Math.min(Math.abs(symbol), sizes - 1)];
        // 0 only if it adds nothing
        if (worth) this.#known[this.#framed(places[k]) * channels + c] = worth * 4 + Math.sign(symbol) + 1;
      }
  }

  /** Where a place lies in a frame of one place. */
  #framed(place) {
    const column = place % this.#width;
    return ((place - column) / this.#width + 1) * (this.#width + 2) + column + 1;
  }

  /** Update the state of a place of a colour with all known symbols. */
  #gather(colour, place) {
    if (!colour) {
      if (this.#before) this.#addKnown(this.#before, place, 0, 1);
      return;
    }
    if (this.#before) this.#addKnown(this.#before, place, 0, 2);
    this.#addKnown({ group: this.#group, known: this.#known }, place, 1, 2);
  }

  /** Add the contributions of neighbours: taps `from`, `from + by`, … of 0 to 8. */
  #addKnown({ group, known }, place, from, by) {
    const { channels, kernel } = group;
    const rowBytes = padded(this.#hidden) * BYTES;
    const corner = this.#framed(place) - this.#width - 3;
    let count = 0;
    for (let tap = from; tap < TAPS; tap += by) {
      const column = tap % 3;
      const at = (corner + ((tap - column) / 3) * (this.#width + 2) + column) * channels;
      for (let c = 0; c < channels; c++) {
        const seen = known[at + c];
        if (seen) count = this.#list(count, ((tap * channels + c) * SIGNS + (seen & 3)) * rowBytes, seen >> 2);
      }
    }
    this.#add(this.#stateAt + place * rowBytes, rowBytes, kernel, count);
  }

  /** Append a row to the list of a sum, with a factor; return the length of the list. */
  #list(count, row, factor) {
    this.#rows[count] = row;
    this.#factors[count] = factor;
    return count + 1;
  }

  /** Add the rows that are listed to the sum at a place. */
  #add(sum, bytes, matrix, count) {
    if (count) this.#sums.add(sum, sum + bytes, matrix, this.#rowsAt, this.#factorsAt, count * BYTES);
  }
}

const activated = (value) => (value < 0 ? 0 : value > ACTIVATION ? ACTIVATION : value);
