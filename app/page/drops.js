// Places that take pictures: by drop, by paste, by a picker.

import { filesOfInput, filesOfTransfer, sorted } from "./intake.js";
import { h } from "./dom.js";
import { tell } from "./notices.js";

const ACCEPT = ".png,.jpg,.jpeg,.webp,.gif,.bmp,.zip,image/*";

/** Let an element take what is dropped on it; `take` gets loose pictures and classes. */
export function takesDrops(element, take) {
  let depth = 0;
  const over = (change) => {
    depth = Math.max(0, depth + change);
    element.classList.toggle("over", depth > 0);
  };
  const holdsFiles = (event) => Array.from(event.dataTransfer.types).includes("Files");
  element.addEventListener("dragenter", (event) => holdsFiles(event) && over(1));
  element.addEventListener("dragleave", (event) => holdsFiles(event) && over(-1));
  // A drop on something inside, or beside, ends it here as well.
  document.addEventListener("drop", () => over(-depth), { capture: true });
  element.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  element.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    takeFiles(filesOfTransfer(event.dataTransfer), take);
  });
}

/** Let an element take pictures that are pasted while the focus is inside it. */
export function takesPastes(element, take) {
  element.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    takeFiles(filesOfTransfer(event.clipboardData), take);
  });
}

/** A button that opens a picker of files, or of a folder. */
export function picker(words, take, { folder = false, label = words } = {}) {
  const input = h("input", {
    type: "file",
    multiple: true,
    hidden: true,
    ...(folder ? { webkitdirectory: true } : { accept: ACCEPT }),
    onchange: () => {
      takeFiles(filesOfInput(input), take);
      input.value = "";
    },
  });
  const button = h("button", { type: "button", "aria-label": label === words ? null : label, onclick: () => input.click() }, words);
  return h("span", { class: "picker" }, button, input);
}

async function takeFiles(given, take) {
  try {
    const found = await sorted(await given);
    found.told.forEach((sentence) => tell(sentence));
    if (found.loose.length > 0 || found.classes.length > 0) take(found);
  } catch (error) {
    tell(`The files cannot be read: ${error.message}. Drop them once more.`);
  }
}
