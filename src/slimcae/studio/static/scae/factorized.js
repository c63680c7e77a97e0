// A table for each channel and step; docs/format.md, "Kind `factorized`".

import { CodingTables } from "./range_decoder.js";

/** @implements {import("./entropy.js").EntropyModel} */
export class FactorizedModel {
  /** @param {Record<string, import("./safetensors.js").Tensor>} arrays of a model file */
  constructor({ minimum, length, counts }) {
    this.channels = minimum.shape[1];
    this.tables = new CodingTables(minimum.data, length.data, counts.data);
  }

  /** @param {number} step */
  fewestBits(step) {
    let bits = 0;
    for (let c = 0; c < this.channels; c++) bits += this.tables.fewestBits(step * this.channels + c);
    return bits;
  }

  /**
   * @param {import("./entropy.js").PartReader} part
   * @param {import("./entropy.js").Shape} shape
   * @param {number} step
   */
  walk(part, { height, width }, step) {
    const places = height * width;
    const which = new Uint16Array(this.channels * places);
    for (let c = 0; c < this.channels; c++)
      which.fill(step * this.channels + c, c * places, (c + 1) * places);
    const values = new Int32Array(which.length);
    part.take(which, which.length, values);
    return Int16Array.from(values);
  }
}
