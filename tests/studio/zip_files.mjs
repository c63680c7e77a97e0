// Reads [{path, text, modified}] as JSON from standard input, and writes a ZIP file of them.

import { readFileSync } from "node:fs";

import { scaeNames, zipOf } from "../../src/slimcae/studio/static/zip.js";

const asked = JSON.parse(readFileSync(0, "utf8"));
const names = scaeNames(asked.map(({ path }) => path));
const files = asked.map(({ text, modified }, index) => ({ name: names[index], data: new Blob([text]), modified }));
process.stdout.write(new Uint8Array(await (await zipOf(files)).arrayBuffer()));
