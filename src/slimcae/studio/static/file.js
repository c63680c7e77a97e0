// The page that is nothing but files: it opens a `.scae` file without a server.

import { chosen, onDroppedFiles } from "./drop.js";
import * as format from "./format.js";
import { openHere, watched } from "./opened.js";
import { save } from "./save.js";
import { readHeader } from "./scae/scae.js";
import { Viewer } from "./viewer.js";

const MOST_PIXELS = 40_000_000; // of a picture that is shown at once; of larger ones the middle
const MIDDLE = 4096; // its sides

const $ = (id) => document.getElementById(id);
const say = (id, text) => ($(id).textContent = text);

const shown = { file: null, name: "", png: null }; // the file that is open
let opening = null; // AbortController of what runs

const viewer = new Viewer({
  stage: $("stage"),
  canvas: $("canvas"),
  divider: $("divider"),
  zoomed: (zoom) => say("zoom", `${zoom >= 10 ? zoom.toFixed(0) * 100 : Math.round(zoom * 100)} %`),
  hovered: showPixel,
});

// ---- errors and progress

function fail(error) {
  if (error.name === "AbortError") return;
  say("alert-words", format.sentence(error.message));
  $("alert").hidden = false;
}

function progress(job) {
  $("busy").hidden = job === null;
  if (job === null) return;
  const bar = $("busy-bar");
  if (job.of) [bar.max, bar.value] = [job.of, job.done];
  else bar.removeAttribute("value");
  const words = format.sentence(job.stage).slice(0, -1);
  say("busy-words", job.of > 1 ? `${words}, ${job.done} of ${job.of}` : words);
}

/** Run work(signal, tell) in the place of what runs; its errors are said. */
async function busy(work) {
  opening?.abort();
  const mine = (opening = new AbortController());
  const show = (job) => opening === mine && progress(job);
  try {
    return await watched((tell) => work(mine.signal, tell), show);
  } catch (error) {
    fail(error);
    return null;
  } finally {
    if (opening === mine) opening = null;
  }
}

// ---- opening a file

async function open(file, name, crop = null) {
  $("alert").hidden = true;
  await busy(async (signal, onProgress) => {
    const part = crop ?? (await middleOfLarge(file));
    const opened = await openHere(file, { crop: part ?? undefined, signal, onProgress });
    signal.throwIfAborted();
    Object.assign(shown, { file, name, png: opened.png });
    show(opened, part);
  });
}

/** The middle of a picture that is too large to be shown at once; null: it is not. */
async function middleOfLarge(file) {
  const { width, height } = readHeader(new Uint8Array(await file.arrayBuffer()));
  if (width * height <= MOST_PIXELS) return null;
  const sides = [Math.min(width, MIDDLE), Math.min(height, MIDDLE)];
  return [Math.floor((width - sides[0]) / 2), Math.floor((height - sides[1]) / 2), ...sides];
}

function show({ photo, figures, picture }, part) {
  document.body.classList.remove("empty");
  const { image_width: width, image_height: height } = photo;
  $("photo-name").replaceChildren(element("b", shown.name), element("i", `  ${format.pixels(width, height)}`));
  document.title = `${shown.name} – SlimCAE viewer`;
  viewer.left = viewer.right = null;
  viewer.setView("right");
  viewer.show({ left: null, right: picture, alpha: photo.alpha });
  say("size", format.bytes(figures.bytes));
  say("bpp", format.bitsPerPixel(figures.bpp));
  say("ratio", format.partOfRaw(figures.bytes, photo));
  say("file-model", figures.model);
  say("file-width", format.operatingPoint(figures));
  say("decode", format.milliseconds(figures.decode_ms));
  say("symbols", format.milliseconds(figures.symbols_ms));
  say("synthesis", format.milliseconds(figures.synthesis_ms));
  say("macs", format.work(figures.decoder_macs_per_pixel, figures.decoder_macs));
  const notices = photo.notices.map(format.sentence);
  if (part) notices.unshift(`Shown is a part of ${format.pixels(part[2], part[3])} pixels.`);
  say("notices", notices.join(" "));
  const fields = $("part").elements;
  const numbers = part ?? [0, 0, width, height];
  for (const [index, field] of ["x", "y", "width", "height"].entries()) fields[field].value = numbers[index];
  $("show-whole").disabled = part === null || width * height > MOST_PIXELS;
  say("spoken", `Opened: ${shown.name}, ${figures.model}, ${figures.label}, ${format.bytes(figures.bytes)}`);
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function showPixel(pixel) {
  $("pixel").hidden = pixel === null;
  if (pixel) say("pixel", `${pixel.column}, ${pixel.row}   ${pixel.right.join(" ")}`);
}

/** Open a file of this host. */
async function openFrom(url, crop) {
  const file = await busy(async (signal) => {
    const response = await fetch(url, { signal }).catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Error(`no answer for ${url}: this page loads files of its own host alone`);
    });
    if (!response.ok) throw new Error(`no file ${url} here: ${response.status} ${response.statusText}`);
    return response.blob();
  });
  if (file) await open(file, decodeURIComponent(new URL(url, location).pathname.split("/").pop()), crop);
}

// ---- wiring

$("choose").addEventListener("click", () => $("file").click());
$("open").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  const [item] = chosen($("file"));
  if (item) open(item.file, item.file.name);
});
for (const button of document.querySelectorAll("[data-sample]"))
  button.addEventListener("click", () => openFrom(`samples/${button.dataset.sample}.scae`));
$("save-png").addEventListener("click", () => {
  const name = `${shown.name.replace(/\.[^.]*$/, "") || "picture"}.png`;
  shown.png().then((png) => save(png, name), fail);
});
$("part").addEventListener("submit", (event) => {
  event.preventDefault();
  const numbers = ["x", "y", "width", "height"].map((name) => event.target.elements[name].value.trim());
  open(shown.file, shown.name, numbers.map((text) => (/^\d+$/.test(text) ? Number(text) : text)));
});
$("show-whole").addEventListener("click", () => open(shown.file, shown.name));
$("alert-close").addEventListener("click", () => ($("alert").hidden = true));
$("cancel").addEventListener("click", () => opening?.abort());
$("zoom-in").addEventListener("click", () => viewer.zoomBy(1.5));
$("zoom-out").addEventListener("click", () => viewer.zoomBy(1 / 1.5));
$("zoom-fit").addEventListener("click", () => viewer.fit());
$("zoom-one").addEventListener("click", () => viewer.oneToOne());
onDroppedFiles(([{ file }]) => open(file, file.name));
document.body.classList.add("ready");

// index.html?file=photo.scae&crop=0,0,640,480
const asked = new URLSearchParams(location.search);
if (asked.has("file")) openFrom(asked.get("file"), asked.has("crop") ? asked.get("crop").split(",").map(Number) : null);
