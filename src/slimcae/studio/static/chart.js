// The photo's rate–quality curves, as SVG, redrawn while points come in.

import { bitsPerPixel, decibels } from "./format.js";

const WIDTH = 332;
const HEIGHT = 206;
const BOX = { left: 30, right: 280, top: 8, bottom: 182 };
const SVG = "http://www.w3.org/2000/svg";
const TICKS = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const byRate = (a, b) => a.bpp - b.bpp;

export class Chart {
  // titles: of the other formats. chosen(point): somebody points at a place on our curve.
  constructor(svg, titles, chosen) {
    this.svg = svg;
    this.titles = titles;
    this.ladders = {};
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.addEventListener("click", (event) => {
      const point = this.nearest(event);
      if (point) chosen(point);
    });
    this.clear();
  }

  clear() {
    this.ours = [];
    this.second = [];
    this.rivals = {};
    this.here = null;
    this.draw();
  }

  // ladders: of our model and of the second, as "width/step" in order.
  setLadders(ours, second) {
    this.ladders = { ours, second };
    this.draw();
  }

  add(series, point) {
    if (point.psnr === null) return;
    if (point.format) (this.rivals[point.format] ??= []).push(point);
    else this[series].push(point);
    this.draw();
  }

  drop(series) {
    this[series] = [];
    this.draw();
  }

  mark(width, step, bpp, psnr) {
    this.here = { width, step, bpp, psnr };
    this.draw();
  }

  draw() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      this.paint();
    });
  }

  scales() {
    const own = [...this.ours, ...this.second];
    if (own.length < 2) return null;
    const rates = own.map((point) => point.bpp);
    const low = Math.min(...rates) / 1.25;
    const high = Math.max(...rates) * 1.15;
    const seen = [...own, ...Object.values(this.rivals).flat()].filter((p) => p.bpp >= low && p.bpp <= high);
    const values = seen.map((point) => point.psnr);
    const bottom = Math.floor(Math.min(...values) - 0.5);
    const top = Math.ceil(Math.max(...values) + 0.5);
    return {
      low,
      high,
      bottom,
      top,
      x: (bpp) => BOX.left + ((BOX.right - BOX.left) * Math.log(bpp / low)) / Math.log(high / low),
      y: (psnr) => BOX.bottom - ((BOX.bottom - BOX.top) * (psnr - bottom)) / (top - bottom),
    };
  }

  paint() {
    this.svg.replaceChildren();
    this.frame = this.scales();
    if (!this.frame) {
      this.svg.append(element("line", { class: "axis", x1: BOX.left, x2: BOX.right, y1: BOX.bottom, y2: BOX.bottom }));
      return;
    }
    const { low, high, bottom, top, x, y } = this.frame;
    const step = top - bottom > 12 ? 4 : 2;
    for (let value = Math.ceil(bottom / step) * step; value <= top; value += step) {
      this.svg.append(element("line", { class: "axis", x1: BOX.left, x2: BOX.right, y1: y(value), y2: y(value) }));
      if (y(value) > BOX.top + 12)
        this.svg.append(element("text", { x: BOX.left - 6, y: y(value) + 4, "text-anchor": "end" }, value));
    }
    this.svg.append(element("text", { x: BOX.left - 6, y: BOX.top + 4, "text-anchor": "end" }, "dB"));
    for (const tick of TICKS.filter((value) => value >= low && value <= high))
      this.svg.append(element("text", { x: x(tick), y: BOX.bottom + 16, "text-anchor": "middle" }, tick));
    this.svg.append(element("text", { x: BOX.right + 8, y: BOX.bottom + 16 }, "bpp"));
    const names = [];
    for (const [format, points] of Object.entries(this.rivals)) {
      this.line(points, `line ${format}`);
      names.push([points, format, this.titles[format]]);
    }
    for (const series of ["second", "ours"]) {
      const points = this[series];
      if (!points.length) continue;
      const widths = new Set(points.map((point) => point.width));
      for (const width of widths) this.line(points.filter((point) => point.width === width), `thin ${series}`);
      for (const point of points)
        this.svg.append(element("circle", { class: `dot ${series}`, cx: x(point.bpp), cy: y(point.psnr), r: 1.4 }));
      const ladder = new Set(this.ladders[series] ?? []);
      const best = points.filter((point) => ladder.has(`${point.width}/${point.step}`));
      this.line(best, `line ladder ${series}`);
      names.push([best, series, series === "ours" ? "SlimCAE" : "2nd"]);
    }
    this.nameLines(names);
    const here = this.here && (this.find(this.here) ?? this.here);
    if (here && here.psnr !== null && here.bpp >= low && here.bpp <= high)
      this.svg.append(element("circle", { class: "here", cx: x(here.bpp), cy: y(here.psnr), r: 5 }));
    this.svg.setAttribute("aria-label", this.summary());
  }

  line(points, kind) {
    const { x, y, low, high } = this.frame;
    const seen = points.filter((point) => point.bpp >= low / 1.02 && point.bpp <= high * 1.02).sort(byRate);
    if (seen.length < 2) return;
    const path = seen.map((point) => `${x(point.bpp).toFixed(1)},${y(point.psnr).toFixed(1)}`).join(" ");
    this.svg.append(element("polyline", { class: kind, points: path }));
  }

  // Each curve's name where it ends, moved apart where they would touch.
  nameLines(names) {
    const { x, y, low, high } = this.frame;
    const ends = names
      .map(([points, kind, title]) => {
        const seen = points.filter((point) => point.bpp >= low && point.bpp <= high).sort(byRate);
        const last = seen.at(-1);
        return last && { kind, title, x: x(last.bpp), y: y(last.psnr) };
      })
      .filter(Boolean)
      .sort((a, b) => a.y - b.y);
    ends.forEach((end, k) => {
      if (k) end.y = Math.max(end.y, ends[k - 1].y + 12);
    });
    for (const end of ends)
      this.svg.append(element("text", { class: end.kind, x: BOX.right + 6, y: end.y + 4 }, end.title));
  }

  find({ width, step }) {
    return this.ours.find((point) => point.width === width && point.step === step);
  }

  nearest(event) {
    if (!this.frame || !this.ours.length) return null;
    const box = this.svg.getBoundingClientRect();
    const scale = WIDTH / box.width;
    const at = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const distance = (point) => Math.hypot(this.frame.x(point.bpp) - at[0], this.frame.y(point.psnr) - at[1]);
    return this.ours.reduce((best, point) => (distance(point) < distance(best) ? point : best));
  }

  summary() {
    const points = [...this.ours].sort(byRate);
    if (!points.length) return "Rate and quality";
    const [first, last] = [points[0], points.at(-1)];
    return `Rate and quality: from ${bitsPerPixel(first.bpp)} with ${decibels(first.psnr)} to ${bitsPerPixel(last.bpp)} with ${decibels(last.psnr)}`;
  }
}
