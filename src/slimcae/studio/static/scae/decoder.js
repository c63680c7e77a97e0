// Decoding of a file to its picture, or to a part of it from only the tiles that it needs.

import { unpackAlpha } from "./alpha.js";
import { Reader } from "./container.js";
import { ScaeError, thousands } from "./errors.js";
import { Models } from "./models.js";
import { RegionSymbols } from "./symbols.js";
import { Synthesis } from "./synthesis.js";
import { grown, heightOf, split, widthOf } from "./tiles.js";

const COMPUTED_SIDE = 48; // side in latents of the tiles that the network computes; bounds memory
export const MAX_PIXELS = 2 ** 28;
const METADATA = { iccp: "ICC profile", exif: "EXIF data", xmpp: "XMP data" };

/**
 * @typedef {object} Options
 * @property {[number, number, number, number]} [crop] x, y, width, height in pixels
 * @property {number} [maxPixels] limit on the decoded pixels
 */

/**
 * @typedef {object} Decoded
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {Uint8ClampedArray} rgba four bytes per pixel, alpha not premultiplied
 * @property {import("./container.js").Header} header
 * @property {boolean} alpha whether the picture has alpha
 * @property {{name: string, version: string, delta: number, macs: number, label: string}} model
 *   macs: a pixel; label: of the operating point
 * @property {{load: number, symbols: number, synthesis: number, all: number}} ms
 * @property {Uint8Array | null} iccProfile without it colours are sRGB
 * @property {string[]} notices texts about parts that were left out
 */

/** @param {Uint8Array} bytes of a file @returns {import("./container.js").Header} @throws {ScaeError} */
export const readHeader = (bytes) => new Reader(bytes).header;

/** Decodes files with the models of one folder; one file at a time. */
export class Decoder {
  #models;
  #synthesis;

  /**
   * @param {object} places folders, as URLs that end with a slash
   * @param {string | URL} places.models
   * @param {string | URL} places.runtime
   */
  constructor({ models, runtime }) {
    this.#models = new Models(models);
    this.#synthesis = new Synthesis(runtime);
  }

  /**
   * @param {Uint8Array} bytes
   * @param {Options} [options]
   * @param {(stage: string, done: number, of: number) => Promise<void>} [step] called before each
   *   tile that the network computes; its exceptions end the work
   * @returns {Promise<Decoded>}
   * @throws {ScaeError} the data is damaged or foreign, needs another model, or the crop is invalid
   */
  async decode(bytes, { crop, maxPixels = MAX_PIXELS } = {}, step = async () => {}) {
    const start = performance.now();
    const ms = { load: 0, symbols: 0, synthesis: 0, all: 0 };
    const reader = new Reader(bytes);
    const { header } = reader;
    const model = await this.#models.for(header);
    const part = checkedCrop(crop, header);
    if (part.width * part.height > maxPixels)
      throw new ScaeError(`${part.width}x${part.height} pixels are more than the limit of ${thousands(maxPixels)}`);
    if (!crop) reader.verify();
    await step("loading the model", 0, 0);
    ms.load = await timed(() => Promise.all([model.load(), this.#synthesis.load(model)]));
    const rgba = await this.#pixels(reader, model, part, ms, step);
    const alpha = reader.alpha();
    const level = reader.constantAlpha();
    if (alpha) await putAlpha(rgba, part, alpha, header);
    if (level !== null) for (let place = 3; place < rgba.length; place += 4) rgba[place] = level;
    const { found, notices } = await metadata(reader);
    ms.all = performance.now() - start;
    const { name, version, steps, widths } = model.description;
    return {
      width: part.width,
      height: part.height,
      rgba,
      header,
      alpha: reader.hasAlpha,
      model: { name, version, delta: steps[header.step], macs: widths[model.width].macs, label: widths[model.width].label },
      ms,
      iccProfile: found.iccp ?? null,
      notices,
    };
  }

  /**
   * The symbols of a whole file, without the network.
   * @param {Uint8Array} bytes
   * @returns {Promise<Int16Array>} channel after channel in raster order
   * @throws {ScaeError}
   */
  async symbols(bytes) {
    const reader = new Reader(bytes);
    const model = await this.#models.for(reader.header);
    reader.verify();
    await model.load();
    const grid = latentGrid(reader.header, model.description.downsampling);
    const symbols = regionSymbols(reader, model, grid, grid);
    symbols.need(grid);
    return symbols.data;
  }

  async #pixels(reader, model, part, ms, step) {
    const { header } = reader;
    const { downsampling: scale, halo, steps } = model.description;
    const wanted = {
      top: Math.floor(part.y / scale),
      left: Math.floor(part.x / scale),
      bottom: Math.ceil((part.y + part.height) / scale),
      right: Math.ceil((part.x + part.width) / scale),
    };
    const grid = latentGrid(header, scale);
    const symbols = regionSymbols(reader, model, grown(wanted, halo, grid), grid);
    const rgba = newPixels(part);
    const tiles = computedTiles(wanted);
    for (const [done, tile] of tiles.entries()) {
      await step("decoding", done, tiles.length);
      const window = grown(tile, halo, symbols.region);
      ms.symbols += await timed(() => symbols.need(window));
      ms.synthesis += await timed(async () => {
        const latents = dequantised(symbols, window, model.medians, steps[header.step]);
        const planes = await this.#synthesis.run(model, latents, heightOf(window), widthOf(window));
        put(rgba, part, planes, window, tile, scale, header.grey);
      });
    }
    return rgba;
  }
}

function regionSymbols(reader, model, region, grid) {
  const { kind } = reader.header;
  return new RegionSymbols(reader, model.entropyModel(kind), region, grid, model.description.downsampling);
}

/** A single tile if that is small enough, otherwise those of a grid. */
function computedTiles(wanted) {
  const small = heightOf(wanted) * widthOf(wanted) <= COMPUTED_SIDE ** 2;
  return small ? [wanted] : split(wanted, COMPUTED_SIDE);
}

const latentGrid = ({ height, width }, scale) => ({
  top: 0,
  left: 0,
  bottom: Math.ceil(height / scale),
  right: Math.ceil(width / scale),
});

function checkedCrop(crop, { width, height }) {
  if (!crop) return { x: 0, y: 0, width, height };
  if (crop.length !== 4 || !crop.every(Number.isInteger))
    throw new ScaeError(`crop ${crop}: give four whole numbers, X,Y,WIDTH,HEIGHT`);
  const [x, y, columns, rows] = crop;
  if (!(x >= 0 && y >= 0 && columns > 0 && rows > 0))
    throw new ScaeError(`crop ${crop}: X and Y must be 0 or more, WIDTH and HEIGHT 1 or more`);
  if (x + columns > width || y + rows > height)
    throw new ScaeError(`crop ${crop} is not within ${width}x${height} pixels`);
  return { x, y, width: columns, height: rows };
}

function newPixels({ width, height }) {
  try {
    return new Uint8ClampedArray(4 * width * height);
  } catch (error) {
    throw new ScaeError(`not enough memory for ${width}x${height} pixels: give a crop`, { cause: error });
  }
}

/** The latents (C, h, w) of a window: median + Δ · symbol, in float32. */
function dequantised({ region, channels, data }, window, medians, delta) {
  const [height, width] = [heightOf(window), widthOf(window)];
  const latents = new Float32Array(channels * height * width);
  const step = Math.fround(delta);
  let to = 0;
  for (let c = 0; c < channels; c++)
    for (let row = window.top; row < window.bottom; row++) {
      let from = (c * heightOf(region) + row - region.top) * widthOf(region) + window.left - region.left;
      for (let column = 0; column < width; column++) latents[to++] = medians[c] + Math.fround(step * data[from++]);
    }
  return latents;
}

/**
 * Write the pixels of a tile, computed in a window around it, to the picture.
 * @param {import("./synthesis.js").Planes} planes
 */
function put(rgba, part, { data, height, width }, window, tile, scale, grey) {
  const side = (heightOf(window) * scale) / height; // of the blocks
  const plane = height * width;
  const [top, bottom] = [Math.max(tile.top * scale, part.y), Math.min(tile.bottom * scale, part.y + part.height)];
  const [left, right] = [Math.max(tile.left * scale, part.x), Math.min(tile.right * scale, part.x + part.width)];
  for (let y = top; y < bottom; y++) {
    const row = y - window.top * scale;
    for (let u = 0; u < side; u++) {
      // every `side`th pixel of the row, from the first that has this column in its block
      const first = left + ((u + side - (left % side)) % side);
      let red = ((row % side) * side + u) * 3 * plane + Math.floor(row / side) * width;
      red += Math.floor((first - window.left * scale) / side);
      let to = 4 * ((y - part.y) * part.width + first - part.x);
      for (let x = first; x < right; x += side, red += 1, to += 4 * side) {
        const green = red + plane;
        const blue = green + plane;
        if (grey) {
          // the mean, rounded; thirds are never halves
          rgba[to] = rgba[to + 1] = rgba[to + 2] = Math.round((data[red] + data[green] + data[blue]) / 3);
        } else {
          rgba[to] = data[red];
          rgba[to + 1] = data[green];
          rgba[to + 2] = data[blue];
        }
        rgba[to + 3] = 255;
      }
    }
  }
}

async function putAlpha(rgba, part, png, { height, width }) {
  const alpha = await unpackAlpha(png, height, width);
  for (let row = 0; row < part.height; row++)
    for (let column = 0; column < part.width; column++)
      rgba[4 * (row * part.width + column) + 3] = alpha[(part.y + row) * width + part.x + column];
}

/** What the file has beside the picture; what is damaged is left out with a notice. */
async function metadata(reader) {
  const found = {};
  const notices = [];
  for (const [tag, name] of Object.entries(METADATA)) {
    found[tag] = await reader.metadata(tag);
    if (found[tag] === undefined) notices.push(`left out, damaged: the file's ${name}`);
  }
  return { found, notices };
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
