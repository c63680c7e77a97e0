// Latents to pixels: the graph of g_s in onnxruntime-web.

import { ScaeError } from "./errors.js";

/**
 * Pixels in square blocks: a plane has one value of each block. Planes are ordered by row in the
 * block, column, and colour.
 * @typedef {{data: Uint8Array, height: number, width: number}} Planes sides in blocks
 */

/** The runtime, loaded when it is first needed, and one session for each width. */
export class Synthesis {
  #base;
  #ort = null;
  #sessions = new Map();

  /** @param {string | URL} base the folder of the runtime's files; ends with a slash */
  constructor(base) {
    this.#base = new URL(base);
  }

  /**
   * Load what a width needs, if it is not there.
   * @param {import("./models.js").WidthModel} model
   * @throws {ScaeError} files are missing
   */
  async load(model) {
    this.#ort ??= this.#runtime();
    const [ort, graph] = await Promise.all([this.#ort, this.#sessions.has(model) ? null : model.graph()]);
    if (!graph) return;
    const options = { executionProviders: ["wasm"], logSeverityLevel: 3 };
    this.#sessions.set(model, await ort.InferenceSession.create(new Uint8Array(graph), options));
  }

  /**
   * @param {import("./models.js").WidthModel} model loaded
   * @param {Float32Array} latents channel after channel in raster order
   * @param {number} height @param {number} width in latents
   * @returns {Promise<Planes>}
   * @throws {ScaeError} values that are not finite
   */
  async run(model, latents, height, width) {
    const ort = await this.#ort;
    const shape = [1, latents.length / (height * width), height, width];
    const input = new ort.Tensor("float32", latents, shape);
    const { planes, sum } = await this.#sessions.get(model).run({ latents: input });
    if (!Number.isFinite(sum.data[0]))
      throw new ScaeError(
        `the file's symbols are no picture: the reconstruction at width ${model.width} is not finite`,
      );
    const [, , rows, columns] = planes.dims;
    return { data: planes.data, height: rows, width: columns };
  }

  async #runtime() {
    const module = new URL("ort.js", this.#base);
    let ort;
    try {
      ort = await import(module);
    } catch (error) {
      this.#ort = null; // may be there the next time
      throw new ScaeError("runtime/ort.js cannot be loaded", { cause: error });
    }
    ort.env.wasm.numThreads = 1; // more need a page that is isolated from other origins
    ort.env.wasm.wasmPaths = { wasm: new URL("ort.wasm", this.#base).href };
    return ort;
  }
}
