// The models that this decoder has, as `slimcae studio --export` writes them; docs/browser.md.

import { entropyModel } from "./entropy_models.js";
import { ScaeError } from "./errors.js";
import { readSafetensors } from "./safetensors.js";

/**
 * A model as `index.json` describes it.
 * @typedef {object} Description
 * @property {string} name
 * @property {string} version
 * @property {string} folder beside `index.json`
 * @property {number[]} steps quantisation steps Δ
 * @property {number} downsampling pixels a latent
 * @property {number} halo latents that a pixel depends on beyond its own
 * @property {Record<string, {fingerprint: string, kinds: string[], macs: number, filters: number, label: string}>}
 *   widths by the number of the operating point, which is its width where widths differ
 */

/** All models of one folder of the web host. */
export class Models {
  #base;
  #all = null;
  #loaded = new Map();

  /** @param {string | URL} base the folder that holds `index.json`; ends with a slash */
  constructor(base) {
    this.#base = new URL(base);
  }

  /** @returns {Promise<Description[]>} */
  async list() {
    this.#all ??= JSON.parse(new TextDecoder().decode(await fetched(new URL("index.json", this.#base)))).models;
    return this.#all;
  }

  /**
   * Return what decodes a file, loaded at its first use.
   * @param {import("./container.js").Header} header
   * @returns {Promise<WidthModel>}
   * @throws {ScaeError} no such model is here
   */
  async for(header) {
    const { numFilters, fingerprint } = header;
    const all = await this.list();
    const ofWidth = ({ widths }) => Object.keys(widths).filter((point) => widths[point].filters === numFilters);
    const pointOf = (model) => ofWidth(model).find((point) => model.widths[point].fingerprint === fingerprint);
    const found = all.find((model) => pointOf(model) !== undefined);
    if (!found) {
      const here = all.map((model) => {
        const known = ofWidth(model).map((point) => model.widths[point].fingerprint);
        return `${model.name}@${model.version} ${known.join(" ") || `without width ${numFilters}`}`;
      });
      throw new ScaeError(
        `the file needs model ${header.model} width ${numFilters} (${fingerprint}); the models here are ` +
          (here.join(", ") || "none"),
      );
    }
    const width = pointOf(found);
    const { kinds, label } = found.widths[width];
    if (!kinds.includes(header.kind))
      throw new ScaeError(
        `the file's symbols need an entropy model of kind ${header.kind}: the model has ` +
          `${kinds.join(", ")} at ${label}`,
      );
    if (header.step >= found.steps.length)
      throw new ScaeError(`quantisation step ${header.step}: the model has ${found.steps.length}`);
    const key = `${found.folder}/${width}`;
    if (!this.#loaded.has(key)) this.#loaded.set(key, new WidthModel(found, width, this.#base));
    return this.#loaded.get(key);
  }
}

/** One width of a model. */
class WidthModel {
  #url;
  #tensors = null;
  #kinds = new Map();

  constructor(description, width, base) {
    this.description = description;
    this.width = width;
    this.#url = (ending) => new URL(`${description.folder}/${width}.${ending}`, base);
  }

  /** Load the integers that decode symbols. */
  async load() {
    this.#tensors ??= readSafetensors(await fetched(this.#url("safetensors")));
  }

  /** @returns {Float32Array} of the latents; after `load` */
  get medians() {
    return this.#tensors.medians.data;
  }

  /** @param {string} kind @returns {import("./entropy.js").EntropyModel} after `load` */
  entropyModel(kind) {
    if (!this.#kinds.has(kind)) {
      const own = Object.entries(this.#tensors).filter(([name]) => name.startsWith(`${kind}.`));
      const arrays = Object.fromEntries(own.map(([name, tensor]) => [name.slice(kind.length + 1), tensor]));
      this.#kinds.set(kind, entropyModel(kind, arrays));
    }
    return this.#kinds.get(kind);
  }

  /** @returns {Promise<ArrayBuffer>} the graph of the synthesis transform */
  graph() {
    return fetched(this.#url("onnx"));
  }
}

/** @param {URL} url @returns {Promise<ArrayBuffer>} @throws {ScaeError} */
async function fetched(url) {
  const name = url.pathname.split("/").slice(-2).join("/");
  let response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new ScaeError(`${name} cannot be loaded: does the host answer?`, { cause: error });
  }
  if (!response.ok) throw new ScaeError(`${name} cannot be loaded: ${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}
