// Entropy models whose tables the activity of places chooses; docs/format.md, "Kind `tables`".

import { CodingTables } from "./range_decoder.js";

const LARGEST = 2; // largest contribution of a symbol to the activity
const CENTRE = 9; // extra weight of the place itself

/** @implements {import("./entropy.js").EntropyModel} */
export class TablesModel {
  #groups;
  #thresholds;
  #choice;
  #classes;

  /** @param {Record<string, import("./safetensors.js").Tensor>} arrays of a model file */
  constructor({ minimum, length, counts, groups, thresholds, choice }) {
    this.tables = new CodingTables(minimum.data, length.data, counts.data);
    this.channels = choice.shape[1];
    this.#classes = choice.shape[2];
    this.#groups = groups.data;
    this.#thresholds = thresholds.data;
    this.#choice = choice.data;
  }

  /** @param {number} step */
  fewestBits(step) {
    let bits = 0;
    for (let c = 0; c < this.channels; c++) {
      let fewest = Infinity;
      for (let k = 0; k < this.#classes; k++)
        fewest = Math.min(fewest, this.tables.fewestBits(this.#chosen(step, c, k)));
      bits += fewest;
    }
    return bits;
  }

  /**
   * @param {import("./entropy.js").PartReader} part
   * @param {import("./entropy.js").Shape} shape
   * @param {number} step
   */
  walk(part, { height, width }, step) {
    const places = height * width;
    const symbols = new Int16Array(this.channels * places);
    const activity = new Activity(height, width);
    const classes = new Uint8Array(places);
    const most = Math.max(...this.#groups) * places;
    const which = new Uint16Array(most);
    const values = new Int32Array(most);
    let first = 0;
    this.#groups.forEach((channels, group) => {
      this.#classify(activity.values(), step * this.#groups.length + group, classes);
      for (let c = 0; c < channels; c++)
        for (let place = 0; place < places; place++)
          which[c * places + place] = this.#chosen(step, first + c, classes[place]);
      part.take(which, channels * places, values);
      const own = symbols.subarray(first * places, (first + channels) * places);
      own.set(values.subarray(0, own.length));
      first += channels;
      if (first < this.channels) activity.add(own);
    });
    return symbols;
  }

  #chosen(step, channel, kind) {
    return this.#choice[(step * this.channels + channel) * this.#classes + kind];
  }

  /** The number of thresholds that the activity of each place reaches. */
  #classify(activity, row, classes) {
    const bounds = this.#thresholds.subarray(row * (this.#classes - 1), (row + 1) * (this.#classes - 1));
    for (let place = 0; place < activity.length; place++) {
      let kind = 0;
      while (kind < bounds.length && bounds[kind] <= activity[place]) kind += 1;
      classes[place] = kind;
    }
  }
}

/** Activity of every place over the channels so far. */
class Activity {
  #height;
  #width;
  #sizes;

  constructor(height, width) {
    this.#height = height;
    this.#width = width;
    this.#sizes = new Int32Array(height * width);
  }

  /** @param {Int16Array} symbols of further channels */
  add(symbols) {
    const sizes = this.#sizes;
    for (let from = 0; from < symbols.length; from += sizes.length)
      for (let place = 0; place < sizes.length; place++)
        sizes[place] += Math.min(Math.abs(symbols[from + place]), LARGEST);
  }

  /** @returns {Int32Array} activity over 3×3 neighbourhoods; edges are replicated */
  values() {
    const [height, width, sizes] = [this.#height, this.#width, this.#sizes];
    const rows = new Int32Array(sizes.length); // sums over three rows
    const found = new Int32Array(sizes.length);
    for (let i = 0; i < height; i++) {
      const above = Math.max(i - 1, 0) * width;
      const below = Math.min(i + 1, height - 1) * width;
      for (let j = 0; j < width; j++)
        rows[i * width + j] = sizes[above + j] + sizes[i * width + j] + sizes[below + j];
    }
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++) {
        const at = i * width + j;
        const left = rows[at - (j > 0 ? 1 : 0)];
        const right = rows[at + (j < width - 1 ? 1 : 0)];
        found[at] = CENTRE * sizes[at] + left + rows[at] + right;
      }
    return found;
  }
}
