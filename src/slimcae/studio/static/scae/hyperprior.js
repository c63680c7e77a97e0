// Side information that tells the scale of every symbol; docs/format.md, "Kind `hyperprior`".

import { CodingTables } from "./range_decoder.js";

const ACTIVATION = 127;
const DOWNSAMPLING = 4; // places of latents for one of z, in each direction

/** @implements {import("./entropy.js").EntropyModel} */
export class HyperpriorModel {
  #zChoice;
  #choice;
  #layers;
  #fewest;

  /** @param {Record<string, import("./safetensors.js").Tensor>} arrays of a model file */
  constructor(arrays) {
    this.tables = new CodingTables(arrays.minimum.data, arrays.length.data, arrays.counts.data);
    this.channels = arrays["h_s.3.places"].shape[0];
    this.#zChoice = arrays.z_choice;
    this.#choice = arrays.choice.data;
    this.#layers = [1, 2, 3].map((k) => new Layer(arrays, `h_s.${k}`));
    this.#fewest = Math.min(...Array.from(this.#choice, (table) => this.tables.fewestBits(table)));
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
    const [rows, columns] = [Math.ceil(height / DOWNSAMPLING), Math.ceil(width / DOWNSAMPLING)];
    const zPlaces = rows * columns;
    const zChannels = this.#zChoice.shape[1];
    const zWhich = new Uint16Array(zChannels * zPlaces);
    for (let m = 0; m < zChannels; m++)
      zWhich.fill(this.#zChoice.data[step * zChannels + m], m * zPlaces, (m + 1) * zPlaces);
    const z = new Int32Array(zWhich.length);
    part.take(zWhich, zWhich.length, z);
    const map = new Int16Array(z.length);
    for (let m = 0; m < zChannels; m++)
      for (let place = 0; place < zPlaces; place++)
        map[place * zChannels + m] = limited(z[m * zPlaces + place], -ACTIVATION, ACTIVATION);
    const [first, second, third] = this.#layers;
    const coarse = first.stretched(map, rows, columns, step);
    const fine = second.stretched(coarse, 2 * rows, 2 * columns, step);
    const scales = third.convolved(fine, 4 * rows, 4 * columns, step);
    const which = new Uint16Array(this.channels * height * width);
    const last = this.#choice.length - 1;
    for (let c = 0; c < this.channels; c++)
      for (let i = 0; i < height; i++)
        for (let j = 0; j < width; j++) {
          const scale = scales[(i * 4 * columns + j) * this.channels + c];
          which[(c * height + i) * width + j] = this.#choice[limited(scale, 0, last)];
        }
    const values = new Int32Array(which.length);
    part.take(which, which.length, values);
    return Int16Array.from(values);
  }
}

/** A convolution; the channels of a place stand in a row. */
class Layer {
  #kernel;
  #side;
  #inputs;
  #outputs;
  #bias;
  #places;

  constructor(arrays, name) {
    const kernel = arrays[`${name}.kernel`];
    [this.#side, , this.#inputs, this.#outputs] = kernel.shape;
    this.#kernel = kernel.data;
    this.#bias = arrays[`${name}.bias`].data;
    this.#places = arrays[`${name}.places`].data;
  }

  /** Activations of twice as many rows and columns. */
  stretched(input, rows, columns, step) {
    const from = (y, u) => ((y + u) % 2 ? -1 : (y + 2 - u) / 2);
    const found = this.#sums(input, rows, columns, 2, from, step);
    return found.map((sum) => limited(sum, 0, ACTIVATION));
  }

  /** Sums, rounded down, of as many rows and columns. */
  convolved(input, rows, columns, step) {
    return this.#sums(input, rows, columns, 1, (y, u) => y + u - 1, step);
  }

  /** `from` tells the row (or column) that entry u of the kernel takes for one of the output. */
  #sums(input, rows, columns, factor, from, step) {
    const [side, inputs, outputs, kernel] = [this.#side, this.#inputs, this.#outputs, this.#kernel];
    const bias = this.#bias.subarray(step * outputs, (step + 1) * outputs);
    const found = new Int32Array(factor * factor * rows * columns * outputs);
    let at = 0;
    for (let y = 0; y < factor * rows; y++)
      for (let x = 0; x < factor * columns; x++, at += outputs) {
        found.set(bias, at);
        for (let u = 0; u < side; u++) {
          const i = from(y, u);
          if (i < 0 || i >= rows) continue;
          for (let v = 0; v < side; v++) {
            const j = from(x, v);
            if (j < 0 || j >= columns) continue;
            const start = (i * columns + j) * inputs;
            for (let m = 0; m < inputs; m++) {
              const value = input[start + m];
              if (!value) continue;
              const row = ((u * side + v) * inputs + m) * outputs;
              for (let n = 0; n < outputs; n++) found[at + n] += value * kernel[row + n];
            }
          }
        }
        for (let n = 0; n < outputs; n++) found[at + n] >>= this.#places[n];
      }
    return found;
  }
}

const limited = (value, least, most) => Math.min(Math.max(value, least), most);
