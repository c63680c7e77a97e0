// ZIP files of what is compressed already: method 0, "stored" (PKWARE APPNOTE 6.3).

import { crc32 } from "./scae/crc32.js";

const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50];
const [LOCAL_BYTES, CENTRAL_BYTES, END_BYTES] = [30, 46, 22];
const VERSION = 10; // 1.0: nothing is needed beyond what every reader knows
const UTF8 = 1 << 11;
const MOST_FILES = 2 ** 16 - 1; // more, or larger, would be ZIP64
const MOST_BYTES = 2 ** 32 - 1;

/**
 * @param {{name: string, data: Blob, modified: number}[]} files names with "/" between folders;
 *   milliseconds since 1970
 * @returns {Promise<Blob>}
 * @throws {RangeError} too many files, or too large together
 */
export async function zipOf(files) {
  const parts = [];
  const central = [];
  let at = 0;
  for (const { name, data, modified } of files) {
    const encoded = new TextEncoder().encode(name);
    const shared = new Uint8Array(26); // what both headers say
    const view = new DataView(shared.buffer);
    view.setUint16(0, VERSION, true);
    view.setUint16(2, UTF8, true);
    view.setUint32(6, dosTime(modified), true);
    view.setUint32(10, crc32(new Uint8Array(await data.arrayBuffer())), true);
    view.setUint32(14, data.size, true);
    view.setUint32(18, data.size, true);
    view.setUint16(22, encoded.length, true);
    const entry = new Uint8Array(CENTRAL_BYTES + encoded.length);
    const fields = new DataView(entry.buffer);
    fields.setUint32(0, CENTRAL, true);
    fields.setUint16(4, VERSION, true);
    entry.set(shared, 6);
    fields.setUint32(42, at, true);
    entry.set(encoded, CENTRAL_BYTES);
    central.push(entry);
    parts.push(signed(LOCAL, shared), encoded, data);
    at += LOCAL_BYTES + encoded.length + data.size;
  }
  const length = central.reduce((sum, entry) => sum + entry.length, 0);
  if (files.length > MOST_FILES || at + length > MOST_BYTES)
    throw new RangeError("the photos are too large for one ZIP file: take some off the list");
  const end = new Uint8Array(END_BYTES);
  const view = new DataView(end.buffer);
  view.setUint32(0, END, true);
  view.setUint16(8, files.length, true);
  view.setUint16(10, files.length, true);
  view.setUint32(12, length, true);
  view.setUint32(16, at, true);
  return new Blob([...parts, ...central, end], { type: "application/zip" });
}

function signed(signature, rest) {
  const whole = new Uint8Array(4 + rest.length);
  new DataView(whole.buffer).setUint32(0, signature, true);
  whole.set(rest, 4);
  return whole;
}

// Date and time as MS-DOS has them: local, from 1980 to 2107, in steps of two seconds.
function dosTime(modified) {
  const date = new Date(Math.min(Math.max(modified, new Date(1980, 0, 1)), new Date(2107, 11, 31)));
  const day = ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate();
  const time = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
  return ((day << 16) | time) >>> 0;
}

/**
 * Names of `.scae` files for photos: the suffix is replaced, but stays where two would be the same.
 * @param {string[]} paths of photos, with "/" between folders
 * @returns {string[]} different in any case of letters, as file systems need it
 */
export function scaeNames(paths) {
  const short = paths.map((path) => path.replace(/(?<=[^/])\.[^./]*$/, ""));
  const count = new Map();
  for (const name of short) count.set(name.toLowerCase(), (count.get(name.toLowerCase()) ?? 0) + 1);
  const taken = new Set();
  return paths.map((path, index) => {
    const base = count.get(short[index].toLowerCase()) > 1 ? path : short[index];
    let name = `${base}.scae`;
    for (let number = 2; taken.has(name.toLowerCase()); number++) name = `${base} (${number}).scae`;
    taken.add(name.toLowerCase());
    return name;
  });
}
