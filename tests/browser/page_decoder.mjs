// The page's decoder in Node: reads {models, files: {name: path}} as JSON from standard input, and
// writes for each file the digest of its symbols, or what is wrong with it.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { Decoder } from "../../src/slimcae/studio/static/scae/decoder.js";
import { ScaeError } from "../../src/slimcae/studio/static/scae/errors.js";

// Node fetches no files
globalThis.fetch = async (url) => new Response(readFileSync(url));

const { models, files } = JSON.parse(readFileSync(0, "utf8"));
const decoder = new Decoder({ models: pathToFileURL(models), runtime: pathToFileURL(models) });
const found = {};
for (const [name, path] of Object.entries(files)) {
  try {
    const symbols = await decoder.symbols(new Uint8Array(readFileSync(path)));
    found[name] = createHash("sha256").update(symbols).digest("hex");
  } catch (error) {
    if (!(error instanceof ScaeError)) throw error; // a bug
    found[name] = error.message;
  }
}
process.stdout.write(JSON.stringify(found));
