// A `.scae` file that the page decodes itself, described as the studio's server describes one.

import { pngOf } from "./png.js";
import { decodeFile } from "./scae/scae.js";

const MAGIC = [0x89, 0x53];
const BLOCK = 16; // pixels a latent
const PROGRESS_AFTER = 400; // ms

/** @param {Blob} file @returns {Promise<boolean>} whether it says that it is a `.scae` file */
export async function isScae(file) {
  const start = new Uint8Array(await file.slice(0, MAGIC.length).arrayBuffer());
  return MAGIC.every((byte, index) => start[index] === byte);
}

/**
 * @param {Blob} file
 * @param {import("./scae/scae.js").DecodeOptions} options
 * @returns {Promise<{photo: object, figures: object, picture: ImageBitmap, png: () => Promise<Blob>}>}
 */
export async function openHere(file, options) {
  const decoded = await decodeFile(file, options);
  const { image, header, model, ms, alpha, iccProfile, notices } = decoded;
  const png = () => pngOf(image, { grey: header.grey, alpha, iccProfile });
  const blocks = Math.ceil(header.height / BLOCK) * Math.ceil(header.width / BLOCK);
  return {
    png,
    // only files are drawn in the colours of their profile
    picture: await createImageBitmap(iccProfile ? await png() : image),
    photo: {
      kind: "scae",
      image_width: header.width,
      image_height: header.height,
      bytes: file.size,
      grey: header.grey,
      alpha,
      notices,
    },
    figures: {
      model: `${model.name}@${model.version}`,
      width: header.numFilters,
      label: model.label,
      step: header.step,
      delta: model.delta,
      bytes: file.size,
      bpp: (8 * file.size) / (header.width * header.height),
      decode_ms: ms.all - ms.load,
      symbols_ms: ms.symbols,
      synthesis_ms: ms.synthesis,
      decoder_macs_per_pixel: model.macs,
      decoder_macs: model.macs * blocks * BLOCK ** 2,
    },
  };
}

/**
 * Run work(tell) and show what it tells, once it takes long; at the end show(null).
 * @template T
 * @param {(tell: (job: {stage: string, done: number, of: number}) => void) => Promise<T>} work
 * @param {(job: {stage: string, done: number, of: number} | null) => void} show
 * @returns {Promise<T>}
 */
export async function watched(work, show) {
  let last = { stage: "opening", done: 0, of: 0 };
  let long = false;
  const timer = setTimeout(() => {
    long = true;
    show(last);
  }, PROGRESS_AFTER);
  try {
    return await work((job) => {
      last = job;
      if (long) show(job);
    });
  } finally {
    clearTimeout(timer);
    show(null);
  }
}
