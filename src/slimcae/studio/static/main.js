// The page: what was opened, what is chosen, and what is shown of it.

import { chosen, onDroppedFiles } from "./drop.js";
import * as api from "./api.js";
import { isFinal } from "./batch.js";
import { Chart } from "./chart.js";
import * as format from "./format.js";
import { isScae, openHere, watched } from "./opened.js";
import { save } from "./save.js";
import { ScaeError } from "./scae/scae.js";
import { Several } from "./several.js";
import { Viewer } from "./viewer.js";

const { sentence } = format;
const SETTLE = 180; // ms without a change before the rest is computed
const PATIENCE = 700; // ms after which a newer choice does not wait for an older one
const FIGURES = ["size", "bpp", "ratio", "psnr", "ms-ssim", "encode", "decode", "macs", "memory"];
const [NEAR, FAR] = [2, 10]; // percent of a size: said, and no fair comparison any more
const START = 0.6; // where the slider begins
const [GONE, TOO_LARGE] = [404, 413]; // statuses

const $ = (id) => document.getElementById(id);
const say = (id, text) => ($(id).textContent = text);

const state = {
  offer: null,
  model: null, // of the offer
  photo: null, // what the server holds
  file: null, // what was opened
  png: null, // makes a PNG file of it, if the page decoded it
  width: null, // null: any
  points: [], // what the slider goes through
  figures: null, // of the version that is shown
  left: "original", // or a format, or "model"
  second: null, // name of the model to compare with
  rivals: {}, // figures by row
};
const bitmaps = { original: null, decoded: null, rival: null };
let opening = null; // AbortControllers of what runs
let making = null;
let settling = null;
let drawing = { ours: null, second: null };
let wanted = null;

const viewer = new Viewer({
  stage: $("stage"),
  canvas: $("canvas"),
  divider: $("divider"),
  zoomed: (zoom) => say("zoom", `${zoom >= 10 ? zoom.toFixed(0) * 100 : Math.round(zoom * 100)} %`),
  hovered: showPixel,
});
let chart = null;
const several = new Several({ show: pick, fail, check: checkSize });

// ---- errors and progress

function fail(error) {
  if (error.name === "AbortError") return;
  say("alert-words", sentence(error.message));
  $("alert").hidden = false;
}

const forgive = () => ($("alert").hidden = true);

function progress(job) {
  $("busy").hidden = job === null;
  if (job === null) return;
  const bar = $("busy-bar");
  if (job.of) [bar.max, bar.value] = [job.of, Math.min(job.done, job.of)];
  else bar.removeAttribute("value");
  const words = sentence(job.stage).slice(0, -1);
  say("busy-words", job.of > 1 ? `${words}, ${Math.min(job.done, job.of)} of ${job.of}` : words);
}

function stopAll() {
  for (const running of [opening, making, settling, drawing.ours, drawing.second]) running?.abort();
  opening = making = settling = null;
  drawing = { ours: null, second: null };
}

// ---- opening files

// One photo takes the place of one; where there are several, more are added to them.
async function open(items) {
  forgive();
  const entries = several.takes(items);
  if (several.areMany) several.add(entries);
  else if (entries.length > 1) several.replace(entries);
  else if (entries.length) return showEntry(entries[0], { alone: true });
  if (several.shown || !entries.length) return;
  clearPage();
  document.body.classList.remove("empty");
  several.choose(choice());
  for (const entry of entries) if ((await showEntry(entry)) !== "failed") return;
}

// What somebody asked for in the list, or null: nothing is left there.
function pick(entry) {
  forgive();
  return entry ? showEntry(entry) : close();
}

// Whether it is shown, "failed", or the user meanwhile wanted something else.
async function showEntry(entry, { alone = false } = {}) {
  opening?.abort();
  const mine = (opening = new AbortController());
  try {
    if (entry.error) throw entry.error;
    checkSize(entry.file, entry.name);
    const opened = (await openedHere(entry.file, mine.signal)) ?? (await held(entry, mine.signal));
    if (opening !== mine) return "left";
    opening = null;
    if (alone) several.replace([entry]);
    take(opened, entry);
    return "shown";
  } catch (error) {
    if (opening !== mine) return "left";
    opening = null;
    const isNew = !alone && !entry.error && (isFinal(error) || error instanceof ScaeError);
    if (isNew) several.failed(entry, error);
    else fail(error);
    return error.name === "AbortError" ? "left" : "failed";
  }
}

function checkSize({ size }, name) {
  const most = state.offer.max_bytes;
  if (size > most)
    throw new api.Failure(`${name} has ${format.bytes(size)}; the studio takes at most ${format.bytes(most)}`, TOO_LARGE);
}

// A picture, or a .scae file that the page cannot decode itself, as the server holds it.
async function held(entry, signal) {
  const described = async () => {
    const { photo } = entry;
    return { photo, figures: photo.figures, picture: await api.picture(api.originalUrl(photo.id), signal) };
  };
  try {
    if (entry.photo?.id) return await described();
  } catch (error) {
    if (error.status !== GONE) throw error;
  }
  entry.photo = await api.hold(entry.file, signal, progress);
  return described();
}

// A .scae file decoded by the page, or null: another kind of file, or the server has to do it.
async function openedHere(file, signal) {
  const { page_decodes, max_pixels: maxPixels } = state.offer;
  if (!page_decodes || !(await isScae(file))) return null;
  try {
    return await watched((onProgress) => openHere(file, { signal, maxPixels, onProgress }), progress);
  } catch (error) {
    if (error instanceof ScaeError || error.name === "AbortError") throw error;
    return null;
  }
}

function take({ photo, figures, picture: original, png }, entry) {
  clearPage();
  document.body.classList.remove("blank");
  const { file, path: name } = entry;
  Object.assign(state, { photo, file, name, png });
  const isFile = photo.kind === "scae";
  document.body.classList.remove("empty");
  document.body.classList.toggle("scae-file", isFile);
  const size = format.pixels(photo.image_width, photo.image_height);
  $("photo-name").replaceChildren(bold(name), italic(`  ${size}  ·  ${format.bytes(photo.bytes)}`));
  document.title = `${name} – SlimCAE studio`;
  say("notices", photo.notices.map(sentence).join(" "));
  bitmaps.original = original;
  several.mark(entry, original);
  setView(isFile ? "right" : "split");
  viewer.fitted = true;
  if (isFile) {
    viewer.show({ left: null, right: original, alpha: photo.alpha });
    showFigures(figures);
    $("download-png").href = png ? "" : api.originalUrl(photo.id);
    $("download-png").download = `${stem(name)}.png`;
    return;
  }
  viewer.show({ left: original, right: null, alpha: photo.alpha });
  say("curve-words", "Follows once the comparisons are there.");
  $("row-original").querySelector("td").textContent = format.bytes(photo.bytes);
  label();
  choose();
}

// Nothing is shown, and nothing runs for what was.
function clearPage() {
  stopAll();
  document.body.classList.add("blank");
  document.body.classList.remove("scae-file");
  Object.assign(state, { photo: null, file: null, png: null, figures: null, left: "original", rivals: {} });
  viewer.left = viewer.right = null;
  viewer.draw();
  for (const name of Object.keys(bitmaps)) replaceBitmap(name, null);
  chart.clear();
  fillRivals();
  for (const name of FIGURES) say(name, "–");
  for (const name of ["photo-name", "notices", "left-label", "right-label", "compare-words", "curve-words"]) say(name, "");
  for (const name of ["download", "download-png"]) $(name).removeAttribute("href");
}

// Bitmaps are large, and wait long for the garbage collector.
function replaceBitmap(name, bitmap) {
  bitmaps[name]?.close();
  bitmaps[name] = bitmap;
}

function close() {
  clearPage();
  document.title = "SlimCAE studio";
  document.body.classList.add("empty");
  $("choose").focus();
}

const stem = (name) => name.replace(/\.[^.]*$/, "") || "photo";

function bold(text) {
  const made = document.createElement("b");
  made.textContent = text;
  return made;
}

function italic(text) {
  const made = document.createElement("i");
  made.textContent = text;
  return made;
}

// ---- choosing a point

function setModel(name) {
  state.model = state.offer.models.find((model) => model.name === name);
  const widths = state.model.widths.map(({ width }) => width).sort((a, b) => a - b);
  if (!widths.includes(state.width)) state.width = null;
  const group = $("widths");
  const legend = group.querySelector("legend");
  legend.textContent = labelOf(widths[0]) === `width ${widths[0]}` ? "Width" : "Point";
  group.replaceChildren(legend);
  for (const width of [null, ...widths]) {
    const option = document.createElement("label");
    const input = document.createElement("input");
    const words = document.createElement("span");
    Object.assign(input, { type: "radio", name: "width", value: width ?? "any", checked: width === state.width });
    words.textContent = width ?? "Any";
    if (width !== null) option.title = labelOf(width);
    option.append(input, words);
    group.append(option);
  }
  setPoints(START);
  chart.setLadders(ladderKeys(state.model), ladderKeys(secondModel()));
}

const ladderKeys = (model) => model?.ladder.map((point) => `${point.width}/${point.step}`) ?? [];
const secondModel = () => state.offer.models.find((model) => model.name === state.second);

// Give the slider the points of the chosen width; `at`: a fraction, or bits per pixel to stay near.
function setPoints(at, bpp = null) {
  const { model, width } = state;
  state.points = width === null ? model.ladder : model.points.filter((point) => point.width === width);
  const slider = $("slider");
  slider.max = state.points.length - 1;
  let index = Math.round(at * (state.points.length - 1));
  if (bpp !== null) index = nearestIndex(state.points, bpp);
  slider.value = index;
  decorateSlider();
}

function nearestIndex(points, bpp) {
  const distance = (point) => Math.abs(Math.log(point.bpp / bpp));
  return points.reduce((best, point, index) => (distance(point) < distance(points[best]) ? index : best), 0);
}

const labelOf = (width) => state.model.widths.find((each) => each.width === width).label;
const current = () => state.points[$("slider").value];
const choice = () => ({ model: state.model.name, width: current().width, step: current().step });

function decorateSlider() {
  const slider = $("slider");
  const percent = (100 * slider.value) / Math.max(slider.max, 1);
  slider.style.setProperty("--filled", `${percent}%`);
  const { width, step, delta } = current();
  slider.setAttribute("aria-valuetext", `${labelOf(width)}${step ? `, step ${delta.toFixed(2)}` : ""}`);
}

// Show the chosen point: at once if nothing runs, else as soon as what runs is done or too slow.
function choose() {
  decorateSlider();
  several.choose(choice());
  if (!state.photo) return;
  wanted = current();
  settling?.abort();
  if (!making) return make();
  if (performance.now() - making.since > PATIENCE) making.abort();
}

async function make() {
  const { photo } = state;
  while (wanted && state.photo === photo) {
    const point = wanted;
    wanted = null;
    const mine = (making = new AbortController());
    mine.since = performance.now();
    const asked = { model: state.model.name, width: point.width, step: point.step };
    try {
      const figures = await kept(() => api.version(photo.id, asked, mine.signal, progress));
      const decoded = await api.picture(api.versionUrl(photo.id, "png", figures), mine.signal);
      if (making !== mine) return decoded.close();
      state.figures = figures;
      showFigures(figures);
      viewer.show({ right: decoded });
      replaceBitmap("decoded", decoded);
      label();
    } catch (error) {
      if (making !== mine) return;
      fail(error);
      if (error.name === "AbortError" && !wanted) backToShown();
    }
    making = null;
  }
  if (state.figures && state.photo === photo) settle();
}

// A server that has let go of the photo gets it once more.
async function kept(request) {
  const { photo, file } = state;
  try {
    return await request();
  } catch (error) {
    if (error.status !== GONE || !file) throw error;
    photo.id = (await api.hold(file, undefined, progress)).id;
    return request();
  }
}

function backToShown() {
  const { figures } = state;
  if (!figures) return;
  const index = state.points.findIndex((point) => point.width === figures.width && point.step === figures.step);
  if (index >= 0) $("slider").value = index;
  decorateSlider();
}

// ---- what follows once the slider rests

function settle() {
  settling?.abort();
  const mine = (settling = new AbortController());
  setTimeout(async () => {
    if (mine.signal.aborted) return;
    try {
      await finish(mine.signal);
    } catch (error) {
      fail(error);
    }
  }, SETTLE);
}

async function finish(signal) {
  const { model, width, step } = state.figures;
  const figures = await kept(() => api.version(state.photo.id, { model, width, step, ms_ssim: true }, signal, () => {}));
  state.figures = figures;
  showFigures(figures);
  say("spoken", `${format.bytes(figures.bytes)}, PSNR ${format.decibels(figures.psnr)}, ${figures.label}`);
  const rows = Object.keys(state.rivals);
  const first = rows.filter((row) => row === state.left);
  for (const row of rows) $(`row-${row}`).classList.add("pending");
  for (const row of [...first, ...rows.filter((row) => !first.includes(row))]) {
    if (row === "model" && !state.second) continue;
    const found =
      row === "model"
        ? await api.nearest(state.photo.id, state.second, figures.colour_bytes, signal)
        : await api.rival(state.photo.id, row, figures.colour_bytes, signal);
    state.rivals[row] = found;
    showRival(row);
    if (row === state.left) await showLeft(signal);
  }
  if (!drawing.ours) drawCurve("ours", model, true);
  if (state.second && !drawing.second) drawCurve("second", state.second, false);
}

async function drawCurve(series, model, rivals) {
  drawing[series]?.abort();
  const mine = (drawing[series] = new AbortController());
  let done = -1;
  let head = null;
  try {
    await api.curve(state.photo.id, model, rivals, mine.signal, (item) => {
      if (mine.signal.aborted) return;
      done += 1;
      if (item.of) head = item;
      else chart.add(series, item);
      if (series !== "ours") return;
      const where = head.whole ? "" : ` Of the middle ${format.pixels(...head.size)} pixels.`;
      const far = done < head.of ? `Measuring, ${done} of ${head.of} …` : `${head.of} points measured; click one to see it.`;
      $("curve-words").setAttribute("aria-live", done < head.of ? "off" : "polite");
      say("curve-words", far + where);
    });
  } catch (error) {
    fail(error);
  }
}

// ---- showing

function showFigures(figures) {
  const { photo } = state;
  say("size", format.bytes(figures.bytes));
  say("bpp", format.bitsPerPixel(figures.bpp));
  say("ratio", compared(figures));
  say("psnr", photo.kind === "scae" ? "–" : format.decibels(figures.psnr));
  say("ms-ssim", format.similarity(figures.ms_ssim));
  say("encode", format.milliseconds(figures.encode_ms));
  say("decode", format.milliseconds(figures.decode_ms));
  say("macs", format.work(figures.decoder_macs_per_pixel, figures.decoder_macs));
  $("memory").parentElement.hidden = figures.decoder_memory === undefined; // of the server's
  if (figures.decoder_memory !== undefined) say("memory", format.bytes(figures.decoder_memory));
  if (photo.kind === "scae") {
    say("file-model", figures.model);
    say("file-width", format.operatingPoint(figures));
    say("spoken", `Opened: ${figures.model}, ${figures.label}, ${format.bytes(figures.bytes)}`);
    return;
  }
  chart.mark(figures.width, figures.step, figures.bpp, figures.psnr);
  $("download").href = api.versionUrl(photo.id, "scae", figures);
  $("download").download = `${stem(state.name)}.scae`;
  $("download-png").href = api.versionUrl(photo.id, "png", figures);
  $("download-png").download = `${stem(state.name)}-${figures.width}.png`;
  const ours = $("row-ours");
  if (ours) fillCells(ours, figures);
  if (photo.alpha) say("compare-words", `Colour alone; alpha adds ${format.bytes(figures.bytes - figures.colour_bytes)} to SlimCAE’s file.`);
}

// The size beside that of the file that was opened; where this is that file, beside its pixels.
function compared(figures) {
  const { kind, bytes } = state.photo;
  return kind === "scae" ? format.partOfRaw(figures.bytes, state.photo) : format.part(figures.bytes, bytes, "the original");
}

function fillCells(row, figures) {
  const [size, psnr, similarity] = row.querySelectorAll("td");
  size.textContent = figures ? format.bytes(figures.colour_bytes ?? figures.bytes) : "–";
  psnr.textContent = figures ? (figures.psnr === null ? "exact" : figures.psnr.toFixed(2)) : "–";
  similarity.textContent = figures ? format.similarity(figures.ms_ssim) : "–";
}

function showRival(row) {
  const line = $(`row-${row}`);
  const figures = state.rivals[row];
  line.classList.remove("pending");
  fillCells(line, figures);
  const detail = line.querySelector("small");
  const sizes = [figures.colour_bytes ?? figures.bytes, state.figures.colour_bytes];
  const far = format.deviation(...sizes, FAR);
  const away = format.deviation(...sizes, NEAR);
  line.classList.toggle("away", far !== null);
  const nearest = away ? `, nearest in size: ${away}` : "";
  if (figures.format) {
    const { settings, lowest, highest } = state.offer.rivals.find(({ name }) => name === row);
    const end = { [lowest]: "smallest", [highest]: "largest" }[figures.quality];
    detail.textContent = (far && end) ?? away ?? `q ${figures.quality}`;
    const strength = figures.strength === 100 ? "" : `, deltaq-strength ${figures.strength}`;
    line.title = `${settings}; quality ${figures.quality}${strength}${nearest}`;
  } else {
    detail.textContent = away ?? "";
    line.title = sentence(`${figures.label}${nearest}`);
  }
  label();
}

function fillRivals() {
  const body = $("rivals");
  body.replaceChildren();
  const ours = addRow("ours", "SlimCAE", null);
  ours.classList.add("ours");
  say("compare-words", "");
  const original = addRow("original", "Original", "original");
  original.querySelector("td").textContent = state.photo ? format.bytes(state.photo.bytes) : "";
  state.rivals = {};
  for (const { name, title, settings } of state.offer.rivals) {
    addRow(name, title, name).title = settings;
    state.rivals[name] = null;
  }
  if (state.offer.models.length > 1) {
    const row = addRow("model", "", "model");
    row.querySelector("label").append(modelSelect());
    state.rivals.model = null;
  }
}

function addRow(name, title, value) {
  const row = document.createElement("tr");
  row.id = `row-${name}`;
  const head = document.createElement("th");
  head.scope = "row";
  if (value === null) {
    head.textContent = title;
  } else {
    const option = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "left", value, checked: value === state.left });
    input.setAttribute("aria-label", title || "Second model");
    const detail = document.createElement("small");
    option.append(input, title, detail);
    head.append(option);
  }
  row.append(head, ...[1, 2, 3].map(() => document.createElement("td")));
  for (const cell of row.querySelectorAll("td")) cell.textContent = value === "original" ? "" : "–";
  $("rivals").append(row);
  return row;
}

function modelSelect() {
  const select = document.createElement("select");
  select.id = "second";
  select.setAttribute("aria-label", "Model to compare with");
  select.append(new Option("Model…", ""));
  for (const { name } of state.offer.models)
    if (name !== state.model.name) select.append(new Option(name, name, false, name === state.second));
  select.addEventListener("change", () => {
    state.second = select.value || null;
    state.left = state.second ? "model" : "original";
    document.querySelector(`input[name="left"][value="${state.left}"]`).checked = true;
    drawing.second?.abort();
    drawing.second = null;
    chart.drop("second");
    chart.setLadders(ladderKeys(state.model), ladderKeys(secondModel()));
    changeLeft();
  });
  return select;
}

async function changeLeft() {
  if (state.left === "original") {
    settling?.abort();
    await showLeft();
  }
  if (state.figures) settle();
}

// The picture left of the divider: the original, or another file of about the same size.
async function showLeft(signal) {
  const { photo, left } = state;
  const figures = state.rivals[left];
  try {
    let rival = null;
    if (left === "model" && figures) rival = await api.picture(api.versionUrl(photo.id, "png", figures), signal);
    else if (figures) rival = await api.picture(api.rivalUrl(photo.id, figures), signal);
    else if (left !== "original") return;
    if (state.photo !== photo || state.left !== left) return rival?.close();
    viewer.show({ left: rival ?? bitmaps.original });
    replaceBitmap("rival", rival);
    label();
  } catch (error) {
    fail(error);
  }
}

function label() {
  const { left, figures, rivals, offer } = state;
  const found = rivals[left];
  let name = "Original";
  if (left === "model") name = state.second ?? "Another model";
  else if (left !== "original") name = offer.rivals.find((rival) => rival.name === left).title;
  const described = found ? `${name} · ${format.bytes(found.bytes)}` : name;
  say("left-label", viewer.view === "difference" ? `${name} − SlimCAE ${figures?.width ?? ""}, eightfold` : described);
  say("view-left", left === "original" ? "Original" : left === "model" ? "Other" : name);
  say("right-label", figures ? `SlimCAE ${figures.width} · ${format.bytes(figures.bytes)}` : "");
}

function setView(view) {
  viewer.setView(view);
  document.querySelector(`input[name="view"][value="${view}"]`).checked = true;
}

function showPixel(pixel) {
  $("pixel").hidden = pixel === null;
  if (pixel === null) return;
  const values = [pixel.left, pixel.right].filter(Boolean).map((value) => value.join(" "));
  say("pixel", `${pixel.column}, ${pixel.row}   ${values.join("  →  ")}`);
}

// ---- wiring

function listen() {
  for (const button of ["choose", "open"]) $(button).addEventListener("click", () => $("file").click());
  $("choose-folder").addEventListener("click", () => $("folder").click());
  $("choose-folder").hidden = !("webkitdirectory" in $("folder"));
  for (const input of [$("file"), $("folder")]) input.addEventListener("change", () => open(chosen(input)));
  for (const button of document.querySelectorAll("[data-sample]"))
    button.addEventListener("click", async () => {
      const name = `${button.dataset.sample}.webp`;
      try {
        const response = await fetch(`/static/samples/${name}`);
        open([{ file: new File([await response.blob()], name), path: name, inFolder: false }]);
      } catch (error) {
        fail(error);
      }
    });
  $("download-png").addEventListener("click", (event) => {
    if (!state.png) return;
    event.preventDefault();
    const { download } = $("download-png");
    state.png().then((png) => save(png, download), fail);
  });
  $("alert-close").addEventListener("click", forgive);
  $("cancel").addEventListener("click", () => {
    opening?.abort();
    making?.abort();
  });
  $("slider").addEventListener("input", choose);
  $("widths").addEventListener("change", (event) => {
    const before = current().bpp;
    const { value } = event.target;
    state.width = value === "any" ? null : Number(value);
    setPoints(0, before);
    if (state.width !== null) $("slider").value = state.points.findIndex((point) => point.step === 0);
    choose();
  });
  $("model").addEventListener("change", () => {
    const { bpp } = current();
    if (state.second === $("model").value) state.second = null;
    setModel($("model").value);
    setPoints(0, bpp);
    for (const series of ["ours", "second"]) drawing[series]?.abort();
    drawing = { ours: null, second: null };
    chart.clear();
    if (state.left === "model") state.left = "original";
    fillRivals();
    showLeft();
    choose();
  });
  $("rivals").addEventListener("change", (event) => {
    if (event.target.name !== "left") return;
    state.left = event.target.value;
    if (state.left === "model" && !state.second) {
      const other = state.offer.models.find((model) => model.name !== state.model.name);
      $("second").value = other.name;
      $("second").dispatchEvent(new Event("change"));
      return;
    }
    label();
    showLeft();
    changeLeft();
  });
  $("views").addEventListener("change", (event) => {
    viewer.setView(event.target.value);
    label();
  });
  $("zoom-in").addEventListener("click", () => viewer.zoomBy(1.5));
  $("zoom-out").addEventListener("click", () => viewer.zoomBy(1 / 1.5));
  $("zoom-fit").addEventListener("click", () => viewer.fit());
  $("zoom-one").addEventListener("click", () => viewer.oneToOne());
  onDroppedFiles(open);
  addEventListener("pagehide", () => several.letGo());
}

async function start() {
  try {
    state.offer = await api.offer();
  } catch (error) {
    return fail(error);
  }
  const titles = Object.fromEntries(state.offer.rivals.map(({ name, title }) => [name, title]));
  chart = new Chart($("chart"), titles, ({ width, step }) => {
    const index = state.model.ladder.findIndex((point) => point.width === width && point.step === step);
    state.width = index >= 0 && state.width === null ? null : width;
    const option = document.querySelector(`input[name="width"][value="${state.width ?? "any"}"]`);
    option.checked = true;
    setPoints(0);
    $("slider").value = state.points.findIndex((point) => point.width === width && point.step === step);
    choose();
  });
  const select = $("model");
  for (const { name } of state.offer.models) select.append(new Option(name, name));
  $("model-row").hidden = state.offer.models.length < 2;
  setModel(state.offer.models[0].name);
  listen();
  document.body.classList.add("ready");
}

start();
