// Files and folders dropped anywhere on the page; while they are over it, the body has the class "over".

const MOST_FILES = 10_000; // of a folder; more are not looked at

/** @param {(items: {file: File, path: string, inFolder: boolean}[]) => void} open what to do with them */
export function onDroppedFiles(open) {
  let depth = 0; // elements that the files have entered and not left
  addEventListener("dragenter", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    depth += 1;
    document.body.classList.add("over");
  });
  addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (!depth) document.body.classList.remove("over");
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    depth = 0;
    document.body.classList.remove("over");
    const items = await dropped(event.dataTransfer);
    if (items.length) open(items);
  });
}

/** What somebody chose in a file input. */
export function chosen(input) {
  const items = [...input.files].map((file) => ({
    file,
    path: file.webkitRelativePath || file.name,
    inFolder: file.webkitRelativePath !== "",
  }));
  input.value = "";
  return items;
}

// The entries have to be taken before the first await: then the browser empties the transfer.
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  if (!entries.some((entry) => entry?.isDirectory))
    return [...transfer.files].map((file) => ({ file, path: file.name, inFolder: false }));
  const found = [];
  for (const entry of entries.filter(Boolean)) await walk(entry, entry.name, false, found);
  return found;
}

async function walk(entry, path, inFolder, found) {
  if (found.length >= MOST_FILES) return;
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    if (file) found.push({ file, path, inFolder });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // a part of the folder at a time, and none at its end
    const part = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!part.length) return;
    for (const child of part) await walk(child, `${path}/${child.name}`, true, found);
  }
}
