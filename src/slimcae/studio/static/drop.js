// A file dropped anywhere on the page; while one is over it, the body has the class "over".

/** @param {(file: File) => void} open what to do with the first of the files */
export function onDroppedFile(open) {
  let depth = 0; // elements that the file has entered and not left
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
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    document.body.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) open(file);
  });
}
