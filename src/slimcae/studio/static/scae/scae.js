// `.scae` files in any page, without a server; docs/browser.md describes the use.
//
//   import { decode } from "./scae/scae.js";
//   const image = await decode(bytes);           // ImageData
//   context.putImageData(image, 0, 0);

import { MAX_PIXELS, readHeader } from "./decoder.js";
import { ScaeError } from "./errors.js";

export { MAX_PIXELS, ScaeError, readHeader };

/**
 * @typedef {object} DecodeOptions
 * @property {[number, number, number, number]} [crop] x, y, width, height in pixels; only the tiles
 *   that it needs are decoded
 * @property {number} [maxPixels] refuse more (default 2²⁸)
 * @property {AbortSignal} [signal] ends the work at the next tile
 * @property {(progress: {stage: string, done: number, of: number}) => void} [onProgress] `of` is 0
 *   where the number of steps is not known
 * @property {string | URL} [models] folder of the models (default: `models` beside this module's)
 * @property {string | URL} [runtime] folder of onnxruntime-web (default: `runtime` beside it)
 */

/**
 * The picture of a `.scae` file, or a part of it.
 * @param {Uint8Array | ArrayBuffer | Blob} source
 * @param {DecodeOptions} [options]
 * @returns {Promise<ImageData>} the file's colour values, alpha not premultiplied
 * @throws {ScaeError} damaged or foreign data, a model that is not here, a crop beyond the picture
 * @throws {DOMException} of name `AbortError`, if the signal says so
 */
export async function decode(source, options) {
  return (await decodeFile(source, options)).image;
}

/**
 * As `decode`, with what else is known of the file.
 * @param {Uint8Array | ArrayBuffer | Blob} source
 * @param {DecodeOptions} [options]
 * @returns {Promise<Omit<import("./decoder.js").Decoded, "rgba"> & {image: ImageData}>}
 */
export async function decodeFile(source, { crop, maxPixels, signal, onProgress, models, runtime } = {}) {
  signal?.throwIfAborted();
  if (!(source instanceof Uint8Array || source instanceof ArrayBuffer || source instanceof Blob))
    throw new TypeError(`${String(source)}: give a Uint8Array, an ArrayBuffer or a Blob`);
  const bytes = new Uint8Array(source instanceof Blob ? await source.arrayBuffer() : source);
  const places = {
    models: new URL(models ?? "../models/", import.meta.url).href,
    runtime: new URL(runtime ?? "../runtime/", import.meta.url).href,
  };
  const { rgba, ...decoded } = await request({ bytes, places, options: { crop, maxPixels } }, signal, onProgress);
  return { ...decoded, image: new ImageData(rgba, decoded.width, decoded.height) };
}

const waiting = new Map();
let worker = null;
let lastId = 0;

function request(message, signal, onProgress) {
  worker ??= startWorker();
  const id = (lastId += 1);
  return new Promise((resolve, reject) => {
    const settle = (answer) => {
      waiting.delete(id);
      signal?.removeEventListener("abort", abort);
      answer();
    };
    const abort = () => {
      worker?.postMessage({ cancel: id });
      settle(() => reject(signal.reason));
    };
    signal?.throwIfAborted();
    signal?.addEventListener("abort", abort);
    waiting.set(id, { resolve: (it) => settle(() => resolve(it)), reject: (it) => settle(() => reject(it)), onProgress });
    worker.postMessage({ id, ...message });
  });
}

function startWorker() {
  const started = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  started.addEventListener("message", ({ data: { id, progress, decoded, error } }) => {
    const request = waiting.get(id); // none if it was cancelled
    if (progress) request?.onProgress?.(progress);
    else if (decoded) request?.resolve(decoded);
    else request?.reject(error.known ? new ScaeError(error.message) : new Error(`${error.name}: ${error.message}`));
  });
  started.addEventListener("error", ({ message }) => {
    worker = null;
    started.terminate();
    const error = new Error(`the decoder stopped: ${message ?? "its files cannot be loaded"}`);
    for (const request of [...waiting.values()]) request.reject(error);
  });
  return started;
}
