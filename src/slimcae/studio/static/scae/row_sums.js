// Sums of rows of a matrix, each times a factor, in WebAssembly: the one inner loop of the context
// network. Eight instructions of SIMD do what takes JavaScript five times as long.

const PAGE = 65536;
export const LANES = 16; // numbers that one turn of the loop adds: lengths are multiples of it
const BYTES = 4; // of a number

// ---- the program, written out; https://webassembly.github.io/spec/core/binary/

const [I32, V128, VOID] = [0x7f, 0x7b, 0x40];
const [SUM, END, MATRIX, ROWS, FACTORS, LAST, K, ROW, FACTOR] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const ACCUMULATORS = [9, 10, 11, 12];

const get = (local) => [0x20, local];
const set = (local, ...value) => [...value, 0x21, local];
const add = (...values) => [...values, 0x6a];
const constant = (value) => [0x41, value]; // below 64, else its sign would be another
const vector = (...code) => [0xfd, ...code];
const load = (address, offset) => [...address, ...vector(0x00), 4, offset];
const splat = (address) => [...address, ...vector(0x09), 2, 0];
const store = (address, value, offset) => [...address, ...value, ...vector(0x0b), 4, offset];
const multiplied = (a, b) => [...a, ...b, ...vector(0xb5, 0x01)];
const summed = (a, b) => [...a, ...b, ...vector(0xae, 0x01)];
const each = (code) => ACCUMULATORS.flatMap((local, k) => code(local, 16 * k));

// do {
//   accumulators = 16 numbers of `sum`
//   for (k = 0; k < last; k += 4) accumulators += factors[k] · 16 numbers of the row at rows[k]
//   16 numbers of `sum` = accumulators; sum += 64; matrix += 64
// } while (sum < end)
const BODY = [
  ...[0x03, VOID],
  ...each((local, offset) => set(local, ...load(get(SUM), offset))),
  ...set(K, ...constant(0)),
  ...[0x02, VOID, 0x03, VOID],
  ...[...get(K), ...get(LAST), 0x4f, 0x0d, 1], // leave if k ≥ last
  ...set(ROW, ...add(...add(...get(ROWS), ...get(K)), 0x28, 2, 0, ...get(MATRIX))),
  ...set(FACTOR, ...splat(add(...get(FACTORS), ...get(K)))),
  ...each((local, offset) => set(local, ...summed(get(local), multiplied(get(FACTOR), load(get(ROW), offset))))),
  ...set(K, ...add(...get(K), ...constant(4))),
  ...[0x0c, 0, 0x0b, 0x0b],
  ...each((local, offset) => store(get(SUM), get(local), offset)),
  ...set(MATRIX, ...add(...get(MATRIX), 0x41, 0xc0, 0x00)),
  ...set(SUM, ...add(...get(SUM), 0x41, 0xc0, 0x00)),
  ...[...get(SUM), ...get(END), 0x49, 0x0d, 0],
  ...[0x0b, 0x0b],
];

const unsigned = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >> 7)]);
const sized = (bytes) => [...unsigned(bytes.length), ...bytes];
const text = (word) => sized([...new TextEncoder().encode(word)]);
const LOCALS = [2, ...[2, I32], ...[5, V128]];
const PROGRAM = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, ...sized([1, 0x60, ...sized(Array(6).fill(I32)), 0])], // type
  ...[2, ...sized([1, ...text("js"), ...text("memory"), 2, 0, 1])], // import
  ...[3, ...sized([1, 0])], // function
  ...[7, ...sized([1, ...text("add"), 0, 0])], // export
  ...[10, ...sized([1, ...sized([...LOCALS, ...BODY])])], // code
]);
let compiled = null;

// ---- its use

/** @param {number} count of numbers @returns {number} of them with zeros behind, as rows have them */
export const padded = (count) => Math.ceil(count / LANES) * LANES;

/** Numbers of 32 bits in a memory of their own, and sums of them. */
export class RowSums {
  #memory = new WebAssembly.Memory({ initial: 1 });
  #used = 0;

  constructor() {
    compiled ??= new WebAssembly.Module(PROGRAM);
    /**
     * sum[n] += Σ factors[k] · matrix[rows[k] + n] for all n and k; all places are in bytes.
     * @type {(sum: number, end: number, matrix: number, rows: number, factors: number, last: number) => void}
     */
    this.add = new WebAssembly.Instance(compiled, { js: { memory: this.#memory } }).exports.add;
  }

  /** @returns {number} bytes that are in use, which `release` takes */
  get used() {
    return this.#used;
  }

  /** Let go of all that was reserved since. @param {number} used */
  release(used) {
    this.#used = used;
  }

  /** @param {number} count of numbers @returns {number} where they begin, in bytes; not cleared */
  reserve(count) {
    const start = this.#used;
    this.#used += padded(count) * BYTES;
    const missing = this.#used - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE));
    return start;
  }

  /**
   * @param {number} start @param {number} count
   * @returns {Int32Array} a view, until the next `reserve`
   */
  view(start, count) {
    return new Int32Array(this.#memory.buffer, start, count);
  }
}
