// The alpha channel: a PNG file of 8-bit greys; docs/format.md, "Chunks", and ISO/IEC 15948.

import { inflate } from "./container.js";
import { crc32 } from "./crc32.js";
import { ScaeError } from "./errors.js";

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * @param {Uint8Array} data @param {number} height @param {number} width of the picture
 * @returns {Promise<Uint8Array>} in raster order
 * @throws {ScaeError} not a PNG file of opaque 8-bit greys of that size, or a damaged one
 */
export async function unpackAlpha(data, height, width) {
  if (!PNG.every((byte, index) => data[index] === byte)) throw new ScaeError("the alpha channel is not a PNG file");
  const chunks = pngChunks(data);
  const tags = chunks.map(({ tag }) => tag);
  const last = tags.length - 1;
  const plain = last > 0 && tags.every((tag, k) => tag === (k === 0 ? "IHDR" : k === last ? "IEND" : "IDAT"));
  if (!plain) throw new ScaeError("the alpha channel is not a plain PNG file, or a damaged one");
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  const found = chunks[0].body;
  if (found.length !== 13 || !found.every((byte, k) => byte === header.getUint8(k)))
    throw new ScaeError(`the alpha channel is not a picture of ${width}x${height} 8-bit greys`);
  const rows = await inflate(joined(chunks.slice(1, -1)), height * (width + 1));
  if (rows?.length !== height * (width + 1))
    throw new ScaeError("the alpha channel has not as many samples as the picture");
  return unfiltered(rows, height, width);
}

/** Tags and contents of all chunks; an empty tag marks invalid data. */
function pngChunks(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const chunks = [];
  let position = PNG.length;
  while (position < data.length) {
    const length = position + 12 <= data.length ? view.getUint32(position) : Infinity;
    const end = position + 12 + length;
    const whole = end <= data.length && crc32(data.subarray(position + 4, end - 4)) === view.getUint32(end - 4);
    if (!whole) return [...chunks, { tag: "", body: data.subarray(0, 0) }];
    const tag = String.fromCharCode(...data.subarray(position + 4, position + 8));
    chunks.push({ tag, body: data.subarray(position + 8, end - 4) });
    position = end;
  }
  return chunks;
}

function joined(chunks) {
  const whole = new Uint8Array(chunks.reduce((sum, { body }) => sum + body.length, 0));
  let at = 0;
  for (const { body } of chunks) {
    whole.set(body, at);
    at += body.length;
  }
  return whole;
}

/** Undo the filters of PNG for one byte per pixel. */
function unfiltered(rows, height, width) {
  const pixels = new Uint8Array(height * width);
  for (let row = 0; row < height; row++) {
    const from = row * (width + 1);
    const filter = rows[from];
    if (filter > 4) throw new ScaeError(`the alpha channel is damaged: filter ${filter}`);
    for (let column = 0; column < width; column++) {
      const at = row * width + column;
      const left = column ? pixels[at - 1] : 0;
      const above = row ? pixels[at - width] : 0;
      const corner = row && column ? pixels[at - width - 1] : 0;
      const predicted = [0, left, above, (left + above) >> 1, filter === 4 ? paeth(left, above, corner) : 0];
      pixels[at] = rows[from + 1 + column] + predicted[filter];
    }
  }
  return pixels;
}

function paeth(left, above, corner) {
  const guess = left + above - corner;
  const [a, b, c] = [left, above, corner].map((value) => Math.abs(guess - value));
  return a <= b && a <= c ? left : b <= c ? above : corner;
}
