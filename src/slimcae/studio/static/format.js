// Numbers as people read them.

const group = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function threeDigits(value) {
  if (value >= 100) return group.format(value);
  return value.toFixed(value >= 10 ? 1 : 2);
}

export function bytes(value) {
  if (value < 1000) return `${group.format(value)} B`;
  if (value < 999_500) return `${threeDigits(value / 1000)} kB`;
  return `${threeDigits(value / 1e6)} MB`;
}

export function milliseconds(value) {
  if (value == null) return "–";
  return value < 10_000 ? `${value < 10 ? value.toFixed(1) : group.format(value)} ms` : `${threeDigits(value / 1000)} s`;
}

export const decibels = (value) => (value == null ? "exact" : `${value.toFixed(2)} dB`);
export const similarity = (value) => (value == null ? "–" : value.toFixed(4));
export const bitsPerPixel = (value) => `${value.toFixed(value < 0.1 ? 3 : 2)} bpp`;
export const pixels = (width, height) => `${group.format(width)} × ${group.format(height)}`;

export function work(perPixel, total) {
  const whole = total >= 1e12 ? `${threeDigits(total / 1e12)} TMAC` : total >= 1e9 ? `${threeDigits(total / 1e9)} GMAC` : `${threeDigits(total / 1e6)} MMAC`;
  return `${threeDigits(perPixel / 1000)}\u00a0kMAC/pixel · ${whole.replace(" ", "\u00a0")}`; // breaks at the dot alone
}

export function percent(size, whole) {
  const value = (100 * size) / whole;
  const digits = value >= 10 ? 0 : value >= 0.1 ? 1 : 2;
  return `${value >= 100 ? group.format(value) : value.toFixed(digits)} %`;
}

// A size as a part of another one, which `words` name.
export const part = (size, whole, words) => `${percent(size, whole)} of ${words}`;

// How far a size is from the one that is wanted, if that is more than `most` percent.
export function deviation(size, wanted, most) {
  const percent = 100 * (size / wanted - 1);
  if (Math.abs(percent) <= most) return null;
  return `${percent < 0 ? "−" : "+"}${group.format(Math.abs(percent))} %`;
}

export function sentence(text) {
  const words = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(words) ? words : `${words}.`;
}

// The size of a .scae file beside the pixels that it holds.
export function partOfRaw(bytes, { image_width, image_height, grey, alpha }) {
  const raw = image_width * image_height * ((grey ? 1 : 3) + alpha);
  return bytes < raw ? part(bytes, raw, "its raw pixels") : "larger than its raw pixels";
}

// Under the heading "width", hence no word where the point is one.
export const operatingPoint = ({ label, step, delta }) => {
  const name = label.replace("width ", "");
  return step ? `${name}, quantisation step ${delta.toFixed(2)}` : name;
};
