// Requests to the server, their errors in words, and how far they are.

export class Failure extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const GONE = 410;
const PROGRESS_AFTER = 400;
const PROGRESS_EVERY = 250;

async function answer(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    await checkReadable(options?.body);
    throw new Failure("The studio does not answer. Is it still running in the terminal?", 0);
  }
  if (response.ok) return response;
  let words;
  try {
    words = (await response.json()).error;
  } catch {
    words = `${response.status} ${response.statusText}`;
  }
  throw new Failure(words, response.status);
}

// A file that was moved since it was chosen looks to fetch like a server that is away.
async function checkReadable(body) {
  try {
    await body?.slice(0, 1).arrayBuffer();
  } catch {
    throw new Failure("the file cannot be read any more: it was changed, moved or deleted", GONE);
  }
}

function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

const photoUrl = (photo, what, parameters = {}) => `/photos/${photo}${what}${query(parameters)}`;

// Runs request(job) and calls onProgress while it takes long.
async function watched(request, signal, onProgress) {
  const job = crypto.getRandomValues(new Uint32Array(4)).join("-");
  let timer = setTimeout(async function ask() {
    try {
      const response = await fetch(`/progress/${job}`, { signal });
      if (timer !== null) onProgress(response.ok ? await response.json() : { stage: "working", done: 0, of: 0 });
    } catch {
      // the request itself will say what is wrong
    }
    if (timer !== null) timer = setTimeout(ask, PROGRESS_EVERY);
  }, PROGRESS_AFTER);
  try {
    return await request(job);
  } finally {
    clearTimeout(timer);
    timer = null;
    onProgress(null);
  }
}

export const offer = async () => (await answer("/models")).json();

export function hold(file, signal, onProgress) {
  return watched(
    async (job) => (await answer(`/photos${query({ job })}`, { method: "POST", body: file, signal })).json(),
    signal,
    onProgress,
  );
}

/** The .scae file of a picture; the server keeps nothing of either. */
export function compress(file, parameters, signal, onProgress) {
  return watched(
    async (job) => (await answer(`/compress${query({ ...parameters, job })}`, { method: "POST", body: file, signal })).blob(),
    signal,
    onProgress,
  );
}

export function letGo(photo) {
  fetch(photoUrl(photo, ""), { method: "DELETE", keepalive: true }).catch(() => {});
}

export function version(photo, parameters, signal, onProgress) {
  return watched(
    async (job) => (await answer(photoUrl(photo, "/version", { ...parameters, job }), { signal })).json(),
    signal,
    onProgress,
  );
}

export const nearest = async (photo, model, size, signal) =>
  (await answer(photoUrl(photo, "/nearest", { model, size }), { signal })).json();

export const rival = async (photo, format, size, signal) =>
  (await answer(photoUrl(photo, "/rival", { format, size }), { signal })).json();

export const originalUrl = (photo) => photoUrl(photo, "/original.png");
export const rivalUrl = (photo, { format, quality, strength }) =>
  photoUrl(photo, `/rival/${format}`, { quality, strength });
export const versionUrl = (photo, kind, { model, width, step }) =>
  photoUrl(photo, `/version.${kind}`, { model, width, step });

export async function picture(url, signal) {
  const blob = await (await answer(url, { signal })).blob();
  return createImageBitmap(blob);
}

// Calls onLine with each object of the curve, as the server measures it.
export async function curve(photo, model, rivals, signal, onLine) {
  const response = await answer(photoUrl(photo, "/curve", { model, rivals }), { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const item = JSON.parse(line);
      if (item.error) throw new Failure(item.error, 503);
      onLine(item);
    }
  }
}
