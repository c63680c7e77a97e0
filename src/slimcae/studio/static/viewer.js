// Two pictures in one canvas: a divider between them, zoom and pan, and their difference.

const MAX_ZOOM = 48;
const CRISP_FROM = 2; // device pixels per picture pixel
const GAIN_DOUBLINGS = 3; // the difference is shown eightfold
const STEP = 1.25;

export class Viewer {
  constructor({ stage, canvas, divider, zoomed, hovered }) {
    Object.assign(this, { stage, canvas, divider, zoomed, hovered });
    this.context = canvas.getContext("2d");
    this.left = this.right = null;
    this.view = "split";
    this.split = 0.5;
    this.zoom = 1;
    this.fitted = true;
    this.x = this.y = 0; // of the picture's corner, in CSS pixels
    this.pointers = new Map();
    this.checks = null;
    new ResizeObserver(() => this.resize()).observe(stage);
    this.listen();
  }

  show({ left = this.left, right = this.right, alpha = this.alpha }) {
    const before = this.left ?? this.right;
    Object.assign(this, { left, right, alpha });
    const now = left ?? right;
    if (!before || !now || before.width !== now.width || before.height !== now.height) this.fit();
    else this.draw();
  }

  setView(view) {
    this.view = view;
    this.stage.dataset.view = view;
    this.draw();
  }

  get size() {
    const picture = this.left ?? this.right;
    return picture ? [picture.width, picture.height] : [1, 1];
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.stage;
    this.canvas.width = Math.max(1, Math.round(clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    if (this.fitted) this.fit();
    else this.settle();
  }

  fit() {
    const [width, height] = this.size;
    const { clientWidth, clientHeight } = this.stage;
    this.zoom = Math.min(clientWidth / width, clientHeight / height) || 1;
    this.x = (clientWidth - width * this.zoom) / 2;
    this.y = (clientHeight - height * this.zoom) / 2;
    this.fitted = true;
    this.settle();
  }

  // One picture pixel to one pixel of the screen.
  oneToOne() {
    this.zoomTo(1 / (devicePixelRatio || 1));
  }

  zoomBy(factor, at) {
    this.zoomTo(this.zoom * factor, at);
  }

  zoomTo(zoom, [x, y] = [this.stage.clientWidth / 2, this.stage.clientHeight / 2]) {
    const [width, height] = this.size;
    const { clientWidth, clientHeight } = this.stage;
    const smallest = Math.min(clientWidth / width, clientHeight / height, 1) / 2;
    const wanted = Math.min(Math.max(zoom, smallest), MAX_ZOOM);
    this.x = x - ((x - this.x) * wanted) / this.zoom;
    this.y = y - ((y - this.y) * wanted) / this.zoom;
    this.zoom = wanted;
    this.fitted = false;
    this.settle();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.settle();
  }

  // Keep the picture in sight: centred where it is smaller than the stage, else without a gap.
  settle() {
    const [width, height] = this.size;
    const { clientWidth, clientHeight } = this.stage;
    const held = (position, length, room) =>
      length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, position));
    this.x = held(this.x, width * this.zoom, clientWidth);
    this.y = held(this.y, height * this.zoom, clientHeight);
    this.zoomed(this.zoom * (devicePixelRatio || 1));
    this.setSplit(this.split);
  }

  setSplit(split) {
    this.split = Math.min(1, Math.max(0, split));
    const percent = Math.round(this.split * 100);
    this.divider.style.left = `${this.split * 100}%`;
    const below = this.stage.clientHeight - this.y - this.size[1] * this.zoom;
    this.divider.style.top = `${Math.max(0, this.y)}px`;
    this.divider.style.bottom = `${Math.max(0, below)}px`;
    this.divider.setAttribute("aria-valuenow", percent);
    this.divider.setAttribute("aria-valuetext", `${percent} % left picture`);
    this.draw();
  }

  draw() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      this.paint();
    });
  }

  paint() {
    const { context, canvas, left, right } = this;
    const ratio = devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "source-over";
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!right && !left) return;
    context.imageSmoothingEnabled = this.zoom * ratio < CRISP_FROM;
    context.imageSmoothingQuality = "high";
    const [width, height] = this.size;
    // whole device pixels, so that both halves meet on the same grid
    const box = [
      Math.round(this.x * ratio),
      Math.round(this.y * ratio),
      Math.round(width * this.zoom * ratio),
      Math.round(height * this.zoom * ratio),
    ];
    if (this.view === "difference" && left && right) {
      context.fillStyle = "#000";
      context.fillRect(...box);
      context.drawImage(left, ...box);
      context.globalCompositeOperation = "difference";
      context.drawImage(right, ...box);
      context.globalCompositeOperation = "lighter";
      for (let k = 0; k < GAIN_DOUBLINGS; k++) context.drawImage(canvas, 0, 0);
      context.globalCompositeOperation = "source-over";
      return;
    }
    if (this.alpha) {
      context.fillStyle = this.checkered();
      context.fillRect(...box);
    }
    if (this.view === "split" && left && right) {
      const edge = Math.round(this.split * canvas.width);
      this.paintPart(left, box, 0, edge);
      this.paintPart(right, box, edge, canvas.width - edge);
    } else {
      context.drawImage(this.view === "left" && left ? left : right ?? left, ...box);
    }
  }

  paintPart(picture, box, from, width) {
    const { context, canvas } = this;
    context.save();
    context.beginPath();
    context.rect(from, 0, width, canvas.height);
    context.clip();
    context.drawImage(picture, ...box);
    context.restore();
  }

  checkered() {
    if (!this.checks) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = 16;
      const brush = tile.getContext("2d");
      brush.fillStyle = "#fff";
      brush.fillRect(0, 0, 16, 16);
      brush.fillStyle = "#d0d0d0";
      brush.fillRect(0, 0, 8, 8);
      brush.fillRect(8, 8, 8, 8);
      this.checks = this.context.createPattern(tile, "repeat");
    }
    return this.checks;
  }

  // Values of the pixel under the pointer in both pictures, once pixels can be told apart.
  hover([x, y]) {
    const column = Math.floor((x - this.x) / this.zoom);
    const row = Math.floor((y - this.y) / this.zoom);
    const [width, height] = this.size;
    const inside = column >= 0 && row >= 0 && column < width && row < height;
    if (!inside || this.zoom * (devicePixelRatio || 1) < 8) return this.hovered(null);
    this.probe ??= new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const value = (picture) => {
      if (!picture) return null;
      this.probe.clearRect(0, 0, 1, 1);
      this.probe.drawImage(picture, column, row, 1, 1, 0, 0, 1, 1);
      return [...this.probe.getImageData(0, 0, 1, 1).data.slice(0, 3)];
    };
    this.hovered({ column, row, left: value(this.left), right: value(this.right) });
  }

  listen() {
    const { canvas, divider, stage } = this;
    const place = (event) => {
      const box = stage.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    divider.addEventListener("pointerdown", (event) => {
      divider.setPointerCapture(event.pointerId);
      divider.focus({ preventScroll: true });
      event.preventDefault();
    });
    divider.addEventListener("pointermove", (event) => {
      if (divider.hasPointerCapture(event.pointerId)) this.setSplit(place(event)[0] / stage.clientWidth);
    });
    divider.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.1 : 0.01;
      const moves = {
        ArrowLeft: this.split - step,
        ArrowDown: this.split - step,
        ArrowRight: this.split + step,
        ArrowUp: this.split + step,
        PageDown: this.split - 0.1,
        PageUp: this.split + 0.1,
        Home: 0,
        End: 1,
      };
      if (event.key in moves) {
        this.setSplit(moves[event.key]);
        event.preventDefault();
      }
    });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      const now = place(event);
      const before = this.pointers.get(event.pointerId);
      if (!before) return this.hover(now);
      if (this.pointers.size === 1) this.pan(now[0] - before[0], now[1] - before[1]);
      else this.pinch(event.pointerId, before, now);
      this.pointers.set(event.pointerId, now);
    });
    for (const name of ["pointerup", "pointercancel"])
      canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("pointerleave", () => this.hovered(null));
    for (const element of [canvas, divider])
      element.addEventListener(
        "wheel",
        (event) => {
          event.preventDefault();
          this.zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), place(event));
        },
        { passive: false },
      );
    canvas.addEventListener("dblclick", (event) => {
      if (this.fitted) this.zoomTo(8 / (devicePixelRatio || 1), place(event));
      else this.fit();
    });
    canvas.addEventListener("keydown", (event) => {
      const keys = {
        "+": () => this.zoomBy(STEP),
        "=": () => this.zoomBy(STEP),
        "-": () => this.zoomBy(1 / STEP),
        0: () => this.fit(),
        1: () => this.oneToOne(),
        ArrowLeft: () => this.pan(60, 0),
        ArrowRight: () => this.pan(-60, 0),
        ArrowUp: () => this.pan(0, 60),
        ArrowDown: () => this.pan(0, -60),
      };
      if (event.key in keys && !event.ctrlKey && !event.metaKey) {
        keys[event.key]();
        event.preventDefault();
      }
    });
  }

  pinch(moved, before, now) {
    const [, other] = [...this.pointers].find(([id]) => id !== moved);
    const distance = ([x, y]) => Math.hypot(x - other[0], y - other[1]);
    this.zoomBy(distance(now) / Math.max(distance(before), 1), other);
  }
}
