// PNG files of decoded pictures: every value as it is, which a canvas does not keep under alpha.

import { crc32 } from "./scae/crc32.js";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const [RGB, ALPHA, GREY] = [2, 4, 0]; // of the colour type

/**
 * @param {ImageData} image
 * @param {{grey?: boolean, alpha?: boolean, iccProfile?: Uint8Array | null}} what it holds
 * @returns {Promise<Blob>}
 */
export async function pngOf({ data, width, height }, { grey = false, alpha = false, iccProfile = null }) {
  const values = [...(grey ? [0] : [0, 1, 2]), ...(alpha ? [3] : [])];
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  header.setUint8(9, (grey ? GREY : RGB) | (alpha ? ALPHA : 0));
  const parts = [Uint8Array.from(SIGNATURE), chunk("IHDR", new Uint8Array(header.buffer))];
  if (iccProfile) {
    const name = new TextEncoder().encode("ICC profile\0\0"); // and method 0, deflate
    parts.push(chunk("iCCP", joined(name, await deflated([iccProfile]))));
  }
  parts.push(chunk("IDAT", await deflated(rows(data, width, height, values))));
  parts.push(chunk("IEND", new Uint8Array(0)));
  return new Blob(parts, { type: "image/png" });
}

/** The rows of a picture, each the difference to the one above (filter 2). */
function* rows(data, width, height, values) {
  const stride = 4 * width;
  for (let row = 0; row < height; row++) {
    const line = new Uint8Array(1 + width * values.length);
    line[0] = 2;
    let to = 1;
    for (let from = row * stride; from < (row + 1) * stride; from += 4)
      for (const value of values) {
        const above = row ? data[from + value - stride] : 0;
        line[to++] = data[from + value] - above;
      }
    yield line;
  }
}

async function deflated(parts) {
  const stream = new CompressionStream("deflate");
  const written = (async () => {
    const writer = stream.writable.getWriter();
    for (const part of parts) await writer.write(part);
    await writer.close();
  })();
  const data = await new Response(stream.readable).arrayBuffer();
  await written;
  return new Uint8Array(data);
}

function chunk(tag, body) {
  const whole = new Uint8Array(12 + body.length);
  const view = new DataView(whole.buffer);
  view.setUint32(0, body.length);
  whole.set(new TextEncoder().encode(tag), 4);
  whole.set(body, 8);
  view.setUint32(8 + body.length, crc32(whole.subarray(4, 8 + body.length)));
  return whole;
}

function joined(first, second) {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
