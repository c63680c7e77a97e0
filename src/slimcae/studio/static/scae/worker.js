// The worker of scae.js: decodes one file after the other, and listens meanwhile.

import { Decoder } from "./decoder.js";
import { ScaeError } from "./errors.js";

const decoders = new Map();
const cancelled = new Set();
let queue = Promise.resolve();

/** Messages that have come meanwhile are taken first: so a request can be cancelled. */
const others = () => new Promise((resolve) => setTimeout(resolve, 0));

async function decode({ id, bytes, places, options }) {
  const key = JSON.stringify(places);
  if (!decoders.has(key)) decoders.set(key, new Decoder(places));
  const step = async (stage, done, of) => {
    await others();
    if (cancelled.has(id)) throw new Cancelled();
    postMessage({ id, progress: { stage, done, of } });
  };
  try {
    const decoded = await decoders.get(key).decode(bytes, options, step);
    postMessage({ id, decoded }, [decoded.rgba.buffer]);
  } catch (error) {
    if (error instanceof Cancelled) return;
    const { name, message } = error;
    postMessage({ id, error: { name, message, known: error instanceof ScaeError } });
  } finally {
    cancelled.delete(id);
  }
}

class Cancelled extends Error {}

addEventListener("message", ({ data }) => {
  if (data.cancel) cancelled.add(data.cancel);
  else queue = queue.then(() => decode(data));
});
