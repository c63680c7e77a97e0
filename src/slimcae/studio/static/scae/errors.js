// What can be wrong with a file or a request, in the words of the Python package.

/** Bad input: a damaged or foreign file, a model that is not here, an impossible crop. */
export class ScaeError extends Error {
  name = "ScaeError";
}

const group = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** @param {number} value @returns {string} with commas between thousands */
export const thousands = (value) => group.format(value);

/** @param {Uint8Array} bytes @returns {string} as Python shows bytes: b'\x89S' */
export function showBytes(bytes) {
  return `b${quoted([...bytes], (code) => code < 0x7f)}`;
}

/** @param {string} text of characters up to U+FFFD @returns {string} as Python shows a string */
export function showText(text) {
  return quoted([...text].map((character) => character.codePointAt(0)), (code) => code !== 0x7f);
}

/** @param {number[]} codes @param {(code: number) => boolean} printable of codes from 32 on */
function quoted(codes, printable) {
  const has = (character) => codes.includes(character.codePointAt(0));
  const quote = has("'") && !has('"') ? '"' : "'";
  const names = { 9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\", [quote.codePointAt(0)]: `\\${quote}` };
  const shown = codes.map((code) => {
    if (code in names) return names[code];
    if (code >= 32 && printable(code)) return String.fromCodePoint(code);
    return `\\x${code.toString(16).padStart(2, "0")}`;
  });
  return quote + shown.join("") + quote;
}
