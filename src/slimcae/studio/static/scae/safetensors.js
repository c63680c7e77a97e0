// Files of named arrays, https://github.com/huggingface/safetensors: a JSON head, then numbers.

import { ScaeError } from "./errors.js";

const TYPES = { I8: Int8Array, I32: Int32Array, F32: Float32Array };

/**
 * @typedef {object} Tensor
 * @property {number[]} shape
 * @property {Int8Array | Int32Array | Float32Array} data the last index running fastest
 */

/**
 * @param {ArrayBuffer} file
 * @returns {Record<string, Tensor>}
 * @throws {ScaeError} damaged
 */
export function readSafetensors(file) {
  try {
    const size = Number(new DataView(file).getBigUint64(0, true));
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, size)));
    delete head.__metadata__;
    return Object.fromEntries(
      Object.entries(head).map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
        const data = new TYPES[dtype](file.slice(8 + size + from, 8 + size + to));
        if (data.length !== shape.reduce((product, side) => product * side, 1)) throw new Error(name);
        return [name, { shape, data }];
      }),
    );
  } catch (error) {
    throw new ScaeError(`a model file is damaged: ${error.message}`, { cause: error });
  }
}
