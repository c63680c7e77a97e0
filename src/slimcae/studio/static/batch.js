// Compresses the photos of a list at one operating point, one at a time.

const REST = 500; // ms without a new choice before the work begins
const BUSY_WAIT = 2000; // ms
const BUSY_TRIES = 5;
const [NO_ANSWER, BUSY] = [0, 503];

/** Whether another try with the same file would fail the same way. */
export const isFinal = (error) => [400, 413, 415, 422].includes(error.status);

export class Batch {
  /**
   * @param {(entry: object, choice: object, signal: AbortSignal, onProgress: Function) =>
   *   Promise<Blob | null>} compress null: the file is compressed already
   * @param {(entry: object | null) => void} changed an entry, or what is true of all
   */
  constructor(compress, changed) {
    Object.assign(this, { compress, changed });
    this.entries = [];
    this.choice = null;
    this.key = "";
    this.running = null; // AbortController
    this.current = null;
    this.timer = 0;
  }

  /** Compress all at an operating point, once no other was asked for a while. */
  choose(choice) {
    const key = JSON.stringify(choice);
    if (key === this.key) return;
    Object.assign(this, { choice, key });
    for (const entry of this.entries) if (entry.error && !isFinal(entry.error)) entry.error = null;
    this.restart(REST);
  }

  /** Begin with what is not done, if that are several. */
  restart(wait = 0) {
    this.stop();
    if (this.entries.length > 1 && this.choice && this.next()) this.timer = setTimeout(() => this.run(), wait);
    this.changed(null);
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.running?.abort();
    this.running = null;
    if (this.current) this.current.working = null;
    this.current = null;
  }

  get isAtWork() {
    return this.timer !== 0;
  }

  isDone(entry) {
    return entry.result?.key === this.key;
  }

  next() {
    return this.entries.find((entry) => !entry.error && !entry.isCoded && !this.isDone(entry));
  }

  async run() {
    const mine = (this.running = new AbortController());
    for (let entry = this.next(); entry; entry = this.next()) {
      this.current = entry;
      const key = this.key;
      try {
        const data = await this.tried(entry, mine.signal);
        if (mine.signal.aborted) return;
        if (data === null) entry.isCoded = true;
        else entry.result = { key, data };
      } catch (error) {
        if (mine.signal.aborted) return;
        entry.working = null;
        if (error.status === NO_ANSWER) {
          this.stop();
          return this.changed(null, error);
        }
        entry.error = error;
      }
      entry.working = null;
      this.current = null;
      this.changed(entry);
    }
    this.stop();
    this.changed(null);
  }

  async tried(entry, signal) {
    const onProgress = (job) => {
      if (signal.aborted || this.current !== entry) return;
      entry.working = job?.of ? Math.min(job.done / job.of, 1) : 0;
      this.changed(entry);
    };
    onProgress(null);
    for (let tries = 1; ; tries++) {
      try {
        return await this.compress(entry, this.choice, signal, onProgress);
      } catch (error) {
        if (error.status !== BUSY || tries === BUSY_TRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, BUSY_WAIT));
        signal.throwIfAborted();
      }
    }
  }
}
