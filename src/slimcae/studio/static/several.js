// Several photos at once: their strip, the work on them, their sizes, and one file of all.

import { Album, entryOf } from "./album.js";
import * as api from "./api.js";
import { Batch } from "./batch.js";
import * as format from "./format.js";
import { isScae } from "./opened.js";
import { isPictureName } from "./pictures.js";
import { save } from "./save.js";
import { scaeNames, zipOf } from "./zip.js";

const MOST = 200; // photos: each has a thumbnail and a compressed file in the page's memory
const THUMBNAIL = 132; // pixels high

const $ = (id) => document.getElementById(id);

export class Several {
  /**
   * @param {{show: (entry: object | null) => void, fail: (error: Error) => void,
   *   check: (file: File, name: string) => void}} page show: an entry, or null: none is left.
   *   check: throws what the server would refuse
   */
  constructor({ show, fail, check }) {
    Object.assign(this, { show, fail, check });
    this.album = new Album($("album-list"), { show, removed: (...gone) => this.removed(...gone) });
    this.batch = new Batch(
      (...work) => this.compressed(...work),
      (entry, error) => this.changed(entry, error),
    );
    this.batch.entries = this.album.entries;
    $("album-clear").addEventListener("click", () => {
      this.replace([]);
      show(null);
    });
    $("download-all").addEventListener("click", () => this.download().catch(fail));
  }

  get areMany() {
    return this.album.entries.length > 1;
  }

  get shown() {
    return this.album.shown;
  }

  /** The photos among what was opened, as many as there is room for; says what is left out. */
  takes(items) {
    const photos = items.filter(({ path, inFolder }) => !inFolder || isPictureName(path));
    const room = MOST - (this.areMany ? this.album.entries.length : 0);
    this.leftOut = items.length - photos.length;
    if (!photos.length && items.length) this.fail(new Error("there is no picture in this folder that the studio reads"));
    if (photos.length > room)
      this.fail(new Error(`the list takes ${MOST} photos: ${photos.length - room} of these are left out; slimcae compress -r takes whole folders`));
    return photos.slice(0, room).map(entryOf);
  }

  add(entries) {
    this.album.add(entries);
    for (const entry of entries) this.album.describe(entry, false);
    this.batch.restart();
  }

  /** Compress all at an operating point. */
  choose(choice) {
    this.batch.choose(choice);
  }

  /** Put entries in the place of those that are here. */
  replace(entries) {
    this.batch.stop();
    for (const { photo } of this.album.clear()) if (photo?.id) api.letGo(photo.id);
    this.add(entries);
  }

  /** An entry is shown now, with its picture. */
  mark(entry, picture) {
    if (!entry.thumbnail) this.album.draw(entry, picture);
    this.album.mark(entry);
    this.changed(entry);
  }

  /** An entry cannot be shown. */
  failed(entry, error) {
    entry.error = error;
    this.changed(entry);
  }

  letGo() {
    for (const { photo } of this.album.entries) if (photo?.id) api.letGo(photo.id);
  }

  removed(entry, next, wasShown) {
    if (entry.photo?.id) api.letGo(entry.photo.id);
    this.batch.restart();
    if (wasShown) this.show(next);
  }

  async compressed(entry, choice, signal, onProgress) {
    this.check(entry.file, entry.name);
    if (await isScae(entry.file)) return null;
    const data = await api.compress(entry.file, choice, signal, onProgress);
    if (!entry.thumbnail) await this.drawThumbnail(entry);
    return data;
  }

  // After the server took it: only then its number of pixels is known to be bearable.
  async drawThumbnail(entry) {
    try {
      const picture = await createImageBitmap(entry.file, { resizeHeight: THUMBNAIL, resizeQuality: "medium" });
      this.album.draw(entry, picture);
      picture.close();
    } catch {
      // TIFF, say, which browsers do not read: the suffix stands for it
    }
  }

  changed(entry, error = null) {
    const changed = entry ? [entry] : this.album.entries;
    for (const one of changed) this.album.describe(one, this.batch.isDone(one));
    document.body.classList.toggle("several", this.areMany);
    this.summarise();
    if (error) this.fail(error);
  }

  summarise() {
    const { entries } = this.album;
    const photos = entries.filter((entry) => !entry.isCoded);
    const done = photos.filter((entry) => !entry.error && this.batch.isDone(entry));
    const failed = photos.filter((entry) => entry.error).length;
    const isAtWork = this.batch.isAtWork;
    $("album-count").textContent = `${entries.length} photos`;
    const words = $("album-words");
    words.setAttribute("aria-live", isAtWork ? "off" : "polite");
    const [before, after] = [sum(done, ({ file }) => file.size), sum(done, ({ result }) => result.data.size)];
    if (isAtWork) words.textContent = `Compressing, ${done.length} of ${photos.length - failed} …`;
    else if (done.length) words.textContent = `${format.bytes(before)} → ${format.bytes(after)} · ${format.percent(after, before)}`;
    else words.textContent = "";
    const more = [failed ? `${failed} failed` : "", this.leftOut ? `${this.leftOut} other files left out` : ""];
    $("album-more").textContent = more.filter(Boolean).join(", ");
    $("download-all").disabled = isAtWork || !done.length;
  }

  async download() {
    const done = this.album.entries.filter((entry) => !entry.error && this.batch.isDone(entry));
    const names = scaeNames(done.map(({ path }) => path));
    const files = done.map(({ result, file }, index) => ({ name: names[index], data: result.data, modified: file.lastModified }));
    save(await zipOf(files), "photos.zip");
  }
}

const sum = (entries, value) => entries.reduce((total, entry) => total + value(entry), 0);
