// The strip of photos: which there are, which is shown, and how far each is compressed.

import * as format from "./format.js";

const [THUMB_WIDTH, THUMB_HEIGHT] = [120, 66]; // CSS pixels; drawn at twice as many

/** A photo of the list, not yet read. */
export function entryOf({ file, path }) {
  return {
    file,
    path,
    name: path.split("/").pop(),
    photo: null, // what the server holds of it
    result: null, // {key, data}: the .scae file, and for what choice it was made
    working: null, // from 0 to 1
    error: null,
    isCoded: false, // a .scae file itself
    thumbnail: null,
    option: null,
  };
}

export class Album {
  /**
   * @param {HTMLElement} list a listbox
   * @param {{show: (entry: object) => void, removed: (entry: object, next: object | null, wasShown: boolean) => void}} told
   *   wasShown: it was shown, or about to be
   */
  constructor(list, told) {
    Object.assign(this, { list, told });
    this.entries = [];
    this.shown = null;
    this.chosen = null; // what is to be shown; it may still be on its way
    list.addEventListener("click", (event) => {
      const entry = this.entryOf(event.target);
      if (!entry) return;
      if (event.target.closest(".remove")) this.remove(entry);
      else this.pick(entry);
    });
    list.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Add entries at the end. */
  add(entries) {
    this.entries.push(...entries);
    for (const entry of entries) {
      entry.option = optionOf(entry);
      this.list.append(entry.option);
    }
    this.chosen ??= this.entries[0] ?? null;
    this.setTabStop(this.shown ?? this.entries[0]);
  }

  remove(entry) {
    const index = this.entries.indexOf(entry);
    const hadFocus = entry.option.contains(document.activeElement);
    this.entries.splice(index, 1);
    entry.option.remove();
    const next = this.entries[index] ?? this.entries[index - 1] ?? null;
    const wasShown = entry === this.shown || entry === this.chosen;
    if (entry === this.shown) this.shown = null;
    if (wasShown) this.chosen = next;
    if (next) {
      this.setTabStop(next);
      if (hadFocus) next.option.focus();
    }
    this.told.removed(entry, next, wasShown);
  }

  /** Take all off the list; returns them. */
  clear() {
    this.shown = this.chosen = null;
    this.list.replaceChildren();
    return this.entries.splice(0);
  }

  mark(entry) {
    this.shown = this.chosen = entry;
    for (const other of this.entries) other.option.setAttribute("aria-selected", other === entry);
    this.setTabStop(entry);
    reveal(entry.option);
  }

  pick(entry) {
    this.chosen = entry;
    this.setTabStop(entry);
    this.told.show(entry);
  }

  /** Write what an entry has become. isDone: at the operating point that is chosen. */
  describe(entry, isDone) {
    const { option, error, working, result, file } = entry;
    const state = error ? "failed" : working !== null ? "working" : isDone || entry.isCoded ? "done" : "waiting";
    option.dataset.state = state;
    option.title = error ? `${entry.path}: ${format.sentence(error.message)}` : entry.path;
    const [thumb, , size] = option.children;
    const before = format.bytes(file.size);
    if (error) size.textContent = `${before}, failed`;
    else if (entry.isCoded) size.textContent = `${before}, .scae`;
    else size.textContent = `${before} → ${result ? format.bytes(result.data.size) : "…"}`;
    thumb.style.setProperty("--done", `${100 * (working ?? 0)}%`);
    if (error) thumb.replaceChildren(span("words", format.sentence(error.message)));
    else if (entry.thumbnail && thumb.firstChild !== entry.thumbnail) thumb.replaceChildren(entry.thumbnail);
  }

  /** Draw a picture as an entry's thumbnail, as much of its middle as fits. */
  draw(entry, picture) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [2 * THUMB_WIDTH, 2 * THUMB_HEIGHT];
    const scale = Math.max(canvas.width / picture.width, canvas.height / picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
    entry.thumbnail = canvas;
  }

  entryOf(target) {
    const option = target.closest("[role=option]");
    return this.entries.find((entry) => entry.option === option);
  }

  setTabStop(entry) {
    for (const other of this.entries) other.option.tabIndex = other === entry ? 0 : -1;
  }

  onKey(event) {
    const entry = this.entryOf(event.target);
    if (!entry || event.ctrlKey || event.metaKey || event.altKey) return;
    const index = this.entries.indexOf(entry);
    const last = this.entries.length - 1;
    const to = { ArrowRight: index + 1, ArrowDown: index + 1, ArrowLeft: index - 1, ArrowUp: index - 1, Home: 0, End: last }[event.key];
    if (to !== undefined) {
      const other = this.entries[Math.min(Math.max(to, 0), last)];
      this.setTabStop(other);
      other.option.focus();
      reveal(other.option);
    } else if (event.key === "Enter" || event.key === " ") this.pick(entry);
    else if (event.key === "Delete" || event.key === "Backspace") this.remove(entry);
    else return;
    event.preventDefault();
  }
}

function optionOf(entry) {
  const option = document.createElement("li");
  option.setAttribute("role", "option");
  option.setAttribute("aria-selected", "false");
  option.tabIndex = -1;
  const suffix = span("suffix", (/\.([^.]+)$/.exec(entry.name)?.[1] ?? "").toUpperCase().slice(0, 5));
  const remove = span("remove", "×");
  for (const silent of [suffix, remove]) silent.setAttribute("aria-hidden", "true"); // there is the key Delete
  remove.title = "Take off the list";
  const thumb = span("thumb", "");
  thumb.append(suffix);
  option.append(thumb, span("name", entry.name), span("sizes", ""), remove);
  return option;
}

// Not scrollIntoView: it would scroll the page, too.
function reveal(option) {
  const list = option.parentElement;
  const [from, to] = [option.offsetLeft - list.offsetLeft, option.offsetLeft - list.offsetLeft + option.offsetWidth];
  if (from < list.scrollLeft) list.scrollLeft = from;
  else if (to > list.scrollLeft + list.clientWidth) list.scrollLeft = to - list.clientWidth;
}

function span(kind, text) {
  const made = document.createElement("span");
  made.className = kind;
  made.textContent = text;
  return made;
}
