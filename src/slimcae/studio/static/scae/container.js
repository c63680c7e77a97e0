// The `.scae` file: head, chunks, tiles and checksums; docs/format.md, "File" to "Tiles".

import { crc32 } from "./crc32.js";
import { ScaeError, showBytes, showText, thousands } from "./errors.js";

const MAGIC = [0x89, 0x53, 0x0d, 0x0a];
export const FORMAT_VERSION = 4;
const KINDS = ["factorized", "tables", "context", "hyperprior"];
const FIXED_BYTES = 29;
const MAX_NAME_BYTES = 24;
const MAX_TILES = 2 ** 14;
const ENTRY_BYTES = 8;
const CRC_BYTES = 4;
const FRAME_BYTES = 12;
const MAX_INFLATED_BYTES = 2 ** 24;
const MANDATORY = ["ALPH", "OPAC"];
const KNOWN = [...MANDATORY, "iccp", "exif", "xmpp"];
const AGAIN = "copy it again";

/**
 * Description of the picture and its model in a file.
 * @typedef {object} Header
 * @property {number} height pixels
 * @property {number} width pixels
 * @property {boolean} grey
 * @property {boolean} srgb it came with an sRGB profile
 * @property {number} numFilters width of the network
 * @property {number} step index of the quantisation step
 * @property {string} kind of the entropy model
 * @property {number} tileSide pixels
 * @property {number} numTiles
 * @property {string} model its name
 * @property {string} fingerprint 16 hexadecimal digits
 */

/** A file in memory. The head is verified at once, other parts on request. */
export class Reader {
  #bytes;
  #view;
  #chunks = new Map();
  #lengths;
  #checksums;
  #starts;

  /** @param {Uint8Array} bytes of the whole file @throws {ScaeError} */
  constructor(bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const numChunks = this.#readHead();
    this.#readFrames(numChunks);
  }

  /** @type {Header} */
  header;

  get hasAlpha() {
    return MANDATORY.some((tag) => this.#chunks.has(tag));
  }

  /** @param {number} index of a tile, in raster order @returns {number} bytes of its stream */
  tileBytes(index) {
    return this.#lengths[index];
  }

  /** @param {number} index @returns {Uint8Array} its stream @throws {ScaeError} */
  tile(index) {
    const stream = this.#read(this.#starts[index], this.#lengths[index], `tile ${index}`);
    if (crc32(stream) !== this.#checksums[index])
      throw new ScaeError(`the checksum of tile ${index} does not match (file damaged? ${AGAIN})`);
    return stream;
  }

  /** @returns {Uint8Array | null} a PNG file, or null if there is none @throws {ScaeError} */
  alpha() {
    return this.#payload("ALPH");
  }

  /** @returns {number | null} the alpha of all pixels, or null @throws {ScaeError} */
  constantAlpha() {
    const payload = this.#payload("OPAC");
    if (payload !== null && payload.length !== 1)
      throw new ScaeError(`the alpha of all pixels has ${payload.length} bytes: must be one`);
    return payload && payload[0];
  }

  /**
   * @param {"iccp" | "exif" | "xmpp"} tag
   * @returns {Promise<Uint8Array | null | undefined>} metadata, null without, undefined if damaged
   */
  async metadata(tag) {
    const payload = this.#payload(tag);
    if (payload === null) return null;
    const data = await inflate(payload, MAX_INFLATED_BYTES);
    return data?.length ? data : undefined;
  }

  /** Compare the file's length and every checksum. @throws {ScaeError} */
  verify() {
    const size = this.#bytes.length;
    const end = this.#starts[this.header.numTiles];
    if (size < end)
      throw new ScaeError(`the file is truncated (${AGAIN}): it has ${thousands(size)} of ${thousands(end)} bytes`);
    if (size > end)
      throw new ScaeError(`${thousands(size - end)} bytes follow the picture (file damaged? ${AGAIN})`);
    for (const tag of this.#chunks.keys()) this.#verified(tag);
    for (let index = 0; index < this.header.numTiles; index++) this.tile(index);
  }

  #readHead() {
    const { header, numChunks } = peekHeader(this.#bytes, this.#view);
    const { numTiles } = header;
    const end = FIXED_BYTES + header.model.length + numTiles * ENTRY_BYTES;
    if (end + CRC_BYTES > this.#bytes.length)
      throw new ScaeError(
        `the file is truncated or damaged (${AGAIN}): ${thousands(this.#bytes.length)} bytes cannot hold ` +
          `${thousands(numTiles)} tiles of ${header.width}x${header.height} pixels`,
      );
    if (numTiles > MAX_TILES)
      throw new ScaeError(
        `${thousands(numTiles)} tiles of ${header.tileSide} pixels: a file has at most ` +
          `${thousands(MAX_TILES)}, take larger tiles`,
      );
    if (crc32(this.#bytes.subarray(0, end)) !== this.#view.getUint32(end, true))
      throw new ScaeError(`the header's checksum does not match (file damaged? ${AGAIN})`);
    this.header = header;
    this.#lengths = new Uint32Array(numTiles);
    this.#checksums = new Uint32Array(numTiles);
    this.#starts = new Float64Array(numTiles + 1);
    for (let index = 0; index < numTiles; index++) {
      const entry = end - (numTiles - index) * ENTRY_BYTES;
      this.#lengths[index] = this.#view.getUint32(entry, true);
      this.#checksums[index] = this.#view.getUint32(entry + 4, true);
    }
    this.#starts[0] = end + CRC_BYTES;
    return numChunks;
  }

  #readFrames(numChunks) {
    let position = this.#starts[0];
    for (let number = 0; number < numChunks; number++) {
      const frame = this.#read(position, FRAME_BYTES, `chunk ${number}`);
      const tag = checkedTag(frame.subarray(0, 4));
      if (this.#chunks.has(tag)) throw new ScaeError(`chunk ${tag} appears twice`);
      const length = this.#view.getUint32(position + 4, true);
      this.#chunks.set(tag, { frame, start: position + FRAME_BYTES, length });
      position += FRAME_BYTES + length;
    }
    if (MANDATORY.every((tag) => this.#chunks.has(tag)))
      throw new ScaeError(`the file has two chunks of alpha (file damaged? ${AGAIN})`);
    this.#starts[0] = position;
    this.#lengths.forEach((length, index) => (this.#starts[index + 1] = this.#starts[index] + length));
  }

  #payload(tag) {
    if (this.#chunks.has(tag)) return this.#verified(tag);
    // a damaged tag must not look like a missing chunk
    for (const unknown of this.#chunks.keys()) if (!KNOWN.includes(unknown)) this.#verified(unknown);
    return null;
  }

  #verified(tag) {
    const { frame, start, length } = this.#chunks.get(tag);
    const payload = this.#read(start, length, `chunk ${tag}`);
    if (crc32(payload, crc32(frame.subarray(0, 8))) !== this.#view.getUint32(start - CRC_BYTES, true))
      throw new ScaeError(`the checksum of chunk ${tag} does not match (file damaged? ${AGAIN})`);
    return payload;
  }

  #read(position, length, what) {
    const end = position + length;
    if (end > this.#bytes.length)
      throw new ScaeError(
        `the file is truncated (${AGAIN}): ${what} should end at byte ${thousands(end)}, ` +
          `the file has ${thousands(this.#bytes.length)}`,
      );
    return this.#bytes.subarray(position, end);
  }
}

/** Header and number of chunks as the first bytes claim them, unverified. */
function peekHeader(bytes, view) {
  if (!MAGIC.every((byte, index) => bytes[index] === byte))
    throw new ScaeError(`not a .scae file: ${whatInstead(bytes)}`);
  const version = bytes[4] ?? FORMAT_VERSION;
  if (version !== FORMAT_VERSION)
    throw new ScaeError(
      `the file has format version ${version}, this slimcae reads version ${FORMAT_VERSION}: ` +
        "install a matching slimcae",
    );
  const truncated = `the file is truncated (${AGAIN}): its header is incomplete`;
  if (bytes.length < FIXED_BYTES) throw new ScaeError(truncated);
  const [flags, kind, exponent, numChunks, nameBytes] = [bytes[5], bytes[17], bytes[18], bytes[19], bytes[28]];
  if (kind >= KINDS.length) throw new ScaeError(`entropy model ${kind}: must be 0 to ${KINDS.length - 1}`);
  if (flags > 3)
    throw new ScaeError(`header flags 0x${flags.toString(16).padStart(2, "0")}: made by a newer slimcae, or damaged?`);
  if (nameBytes > MAX_NAME_BYTES)
    throw new ScaeError(`model name of ${nameBytes} bytes: must be 1 to ${MAX_NAME_BYTES}`);
  if (bytes.length < FIXED_BYTES + nameBytes) throw new ScaeError(truncated);
  const name = [...bytes.subarray(FIXED_BYTES, FIXED_BYTES + nameBytes)];
  const text = name.map((code) => (code < 128 ? String.fromCharCode(code) : "\ufffd")).join("");
  const height = view.getUint32(8, true);
  const width = view.getUint32(12, true);
  const numFilters = view.getUint16(6, true);
  const tileSide = 2 ** exponent;
  for (const [what, value, lowest, highest] of [
    ["image height", height, 1, 2 ** 32 - 1],
    ["image width", width, 1, 2 ** 32 - 1],
    ["number of filters", numFilters, 1, 2 ** 16 - 1],
    ["tile side", tileSide, 2 ** 4, 2 ** 20],
  ])
    if (value < lowest || value > highest)
      throw new ScaeError(`${what} ${wholeNumber(value)}: must be from ${lowest} to ${highest}`);
  if (!name.length || name.some((code) => code < 0x20 || code > 0x7e))
    throw new ScaeError(`model name ${showText(text)}: must be 1 to ${MAX_NAME_BYTES} printable ASCII characters`);
  const header = {
    height,
    width,
    grey: (flags & 1) !== 0,
    srgb: (flags & 2) !== 0,
    numFilters,
    step: bytes[16],
    kind: KINDS[kind],
    tileSide,
    numTiles: Math.ceil(height / tileSide) * Math.ceil(width / tileSide),
    model: text,
    fingerprint: [...bytes.subarray(20, 28)].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
  };
  return { header, numChunks };
}

const wholeNumber = (value) => (value < 2 ** 53 ? `${value}` : `${BigInt(value)}`);

/** Describe bytes without our magic. */
function whatInstead(bytes) {
  const begins = (...codes) => codes.every((code, index) => bytes[index] === code);
  if (!bytes.length) return "it is empty";
  if (bytes.length < 4 && begins(...MAGIC.slice(0, bytes.length))) return `it ends after ${bytes.length} bytes`;
  if (begins(0x89, 0x53, 0x0a) || begins(0x89, 0x53, 0x0d, 0x0d, 0x0a) || begins(0x09, 0x53, 0x0d, 0x0a))
    return "a transfer as text has damaged it, copy it again as binary";
  return `it begins with ${showBytes(bytes.subarray(0, 4))}`;
}

/** @param {Uint8Array} tag @returns {string} */
function checkedTag(tag) {
  const isLetter = (code) => (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
  if (!tag.every(isLetter))
    throw new ScaeError(`a chunk's tag is ${showBytes(tag)}, not four letters (file damaged? ${AGAIN})`);
  const text = String.fromCharCode(...tag);
  if (tag[0] < 0x61 && !MANDATORY.includes(text))
    throw new ScaeError(
      `the file needs chunk ${text} (format version ${FORMAT_VERSION}); of its kind this decoder ` +
        `(format version ${FORMAT_VERSION}) knows ${MANDATORY.join(" and ")} only: take a newer one`,
    );
  return text;
}

/**
 * @param {Uint8Array} data a zlib stream @param {number} most bytes
 * @returns {Promise<Uint8Array | null>} null for more bytes than that, or a damaged stream
 */
export async function inflate(data, most) {
  const reader = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const parts = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > most) {
        reader.cancel().catch(() => {});
        return null;
      }
      parts.push(value);
    }
  } catch {
    return null;
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
