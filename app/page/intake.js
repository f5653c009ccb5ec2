// Files, folders and zip archives to pictures by class, by the rule of the Python client: an image
// lies directly in a class folder; what else there is is left out, and told.

import { headOf, isImage, isZip, kindOf } from "./kinds.js";
import { Picture } from "./project.js";
import { BadArchive, filesOf } from "./zip_read.js";

const MOST_FILES = 10_000;
const SHOWN = 3;
const LEFT_BY_SYSTEMS = new Set([
  ...["__macosx", ".ds_store", ".appledouble", ".trashes", ".spotlight-v100", ".fseventsd"],
  ...[".temporaryitems", ".documentrevisions-v100", "icon\r"],
  ...["thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"],
  ...["@eadir", "#recycle", "#snapshot", "@recycle", "@tmp"],
  ...["lost+found", ".thumbnails", ".ipynb_checkpoints", "__pycache__", ".git", ".svn", ".hg"],
]);

/**
 * What was given, sorted: `loose` pictures, `classes` of name and pictures, and `told`, sentences
 * on what was left out. Every file is `{ path, read }`.
 */
export async function sorted(given) {
  const found = { loose: [], classes: new Map(), leftOut: new Map(), told: [] };
  const files = await withArchives(given, found);
  if (files.length > MOST_FILES) {
    found.told.push(`Expected at most ${MOST_FILES.toLocaleString("en")} files, got ${files.length.toLocaleString("en")}; nothing was taken.`);
    return result(found);
  }
  files.sort((a, b) => compare(a.path, b.path));
  const images = [];
  for (const file of files) await look(file, images, found);
  const bases = basesOf(images);
  for (const { file, blob } of images) place(file, blob, bases, found);
  return result(found);
}

/** The files of a drop or a paste, folders looked into. */
export async function filesOfTransfer(transfer) {
  // Entries are there only until the event's first turn ends.
  const given = Array.from(transfer.items ?? [])
    .filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const files = given.length > 0 ? given : Array.from(transfer.files);
  const walked = await Promise.all(files.map((one) => (one instanceof File ? [ofFile(one)] : walk(one, ""))));
  return walked.flat();
}

/** The files of a picker. */
export function filesOfInput(input) {
  return Array.from(input.files).map(ofFile);
}

function ofFile(file) {
  return { path: file.webkitRelativePath || file.name, read: async () => file };
}

async function walk(entry, base) {
  const path = base + entry.name;
  if (leftBySystem(entry.name)) return [];
  if (entry.isFile) return [{ path, read: () => new Promise((resolve, reject) => entry.file(resolve, reject)) }];
  const reader = entry.createReader();
  const inside = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    inside.push(...some);
  }
  return (await Promise.all(inside.map((one) => walk(one, `${path}/`)))).flat();
}

/** The files, with those of archives that were given by themselves in their archive's place. */
async function withArchives(given, found) {
  const files = [];
  for (const file of given) {
    const isTop = !file.path.includes("/");
    const blob = isTop ? await read(file, found) : null;
    if (blob === null || !isZip(await headOf(blob))) {
      files.push(file);
      continue;
    }
    try {
      const folder = file.path.replace(/\.zip$/i, "");
      files.push(...(await filesOf(blob)).map((one) => ({ ...one, path: `${folder}/${one.path}` })));
    } catch (error) {
      if (!(error instanceof BadArchive)) throw error;
      found.told.push(`${file.path} was not taken: ${error.message}.`);
    }
  }
  return files;
}

async function read(file, found) {
  try {
    return await file.read();
  } catch (error) {
    leave(found, file.path, "not readable", error instanceof BadArchive ? error.message : "look at its permissions");
    return null;
  }
}

async function look(file, images, found) {
  const parts = file.path.split("/");
  if (parts.some(leftBySystem)) return;
  const isHidden = parts.some((part) => part.startsWith("."));
  const blob = await read(file, found);
  if (blob === null) return;
  const head = await headOf(blob);
  if (!isImage(head)) {
    if (!isHidden) leave(found, file.path, ...kindOf(head));
  } else if (isHidden) leave(found, file.path, "hidden", "take the dot from the name");
  else images.push({ file, blob });
}

/**
 * Which folder is a class of which: a top folder with images is a class itself; one without holds
 * the class folders, and so does the one folder that may be in it alone.
 */
function basesOf(images) {
  const bases = new Map();
  const tops = new Set(images.filter(({ file }) => file.path.includes("/")).map(({ file }) => file.path.split("/")[0]));
  for (const top of tops) {
    const own = images.map(({ file }) => file.path.split("/")).filter((parts) => parts[0] === top && parts.length > 1);
    let depth = 0;
    const isBare = (level) => own.every((parts) => parts.length > level + 2);
    if (isBare(0)) {
      depth = 1;
      const inside = new Set(own.map((parts) => parts[1]));
      if (inside.size === 1 && isBare(1)) depth = 2;
    }
    bases.set(top, depth);
  }
  return bases;
}

function place(file, blob, bases, found) {
  const parts = file.path.split("/");
  const picture = () => new Picture(blob, file.path);
  if (parts.length === 1) {
    found.loose.push(picture());
    return;
  }
  const depth = bases.get(parts[0]);
  if (parts.length > depth + 2) leave(found, file.path, "image in a folder inside a class folder", "move it into the class folder");
  else if (parts.length < depth + 2) leave(found, file.path, "image outside of class folders", "");
  else {
    const name = parts[depth].normalize("NFC").trim();
    if (!found.classes.has(name)) found.classes.set(name, []);
    found.classes.get(name).push(picture());
  }
}

function leave(found, path, kind, advice) {
  const key = JSON.stringify([kind, advice]);
  if (!found.leftOut.has(key)) found.leftOut.set(key, []);
  found.leftOut.get(key).push(path);
}

function result({ loose, classes, leftOut, told }) {
  for (const [key, paths] of leftOut) {
    const [kind, advice] = JSON.parse(key);
    const more = paths.length > SHOWN ? `, and ${paths.length - SHOWN} more` : "";
    const what = advice ? `${kind}; ${advice}` : kind;
    told.push(`Left out: ${paths.slice(0, SHOWN).join(", ")}${more} (${what}).`);
  }
  return { loose, classes: Array.from(classes, ([name, pictures]) => ({ name, pictures })), told };
}

function leftBySystem(name) {
  const lower = name.toLowerCase();
  return LEFT_BY_SYSTEMS.has(lower) || lower.startsWith("._") || lower.startsWith(".trash-");
}

function compare(a, b) {
  return a < b ? -1 : Number(a > b);
}
