// Names of files for the pictures: a folder for each class, as other programs want them.

const ENDINGS = new Map([
  ["image/jpeg", "jpg"],
  ["image/png", "png"],
  ["image/webp", "webp"],
  ["image/gif", "gif"],
  ["image/bmp", "bmp"],
]);
const QUESTIONS = "questions";
// Not in names of files on every system.
const UNFIT = /[\u0000-\u001f\u007f<>:"/\\|?*]/g;

/**
 * All pictures that were learned or asked, as files: `files` are paths and blobs, `pathOf` gives
 * the path by a picture's id. Pictures that were taken out since are among them, as the calls were
 * made with them.
 */
export function filed(project) {
  const pathOf = new Map();
  const files = [];
  const folders = new Map();
  const put = (folder, picture) => {
    if (pathOf.has(picture.id)) return;
    const number = files.filter(({ path }) => path.startsWith(`${folder}/`)).length + 1;
    const path = `${folder}/${String(number).padStart(2, "0")}.${endingOf(picture)}`;
    pathOf.set(picture.id, path);
    files.push({ path, blob: picture.blob });
  };
  const done = project.log.flatMap(({ items }) => items ?? []);
  for (const { picture, label } of [...done, ...project.support]) {
    if (!folders.has(label)) folders.set(label, free(fit(label), [...folders.values(), QUESTIONS]));
    put(`pictures/${folders.get(label)}`, picture);
  }
  const asked = project.log.flatMap(({ pictures }) => pictures ?? []);
  for (const picture of [...asked, ...project.questions.map((question) => question.picture)]) put(`pictures/${QUESTIONS}`, picture);
  return { files, pathOf };
}

function endingOf({ blob, name }) {
  return ENDINGS.get(blob.type) ?? /\.([A-Za-z0-9]{1,5})$/.exec(name)?.[1].toLowerCase() ?? "img";
}

function fit(label) {
  return label.replaceAll(UNFIT, "_").replace(/^\.+|[. ]+$/g, "_") || "class";
}

/** A name that no other folder has, also where large and small letters are the same. */
function free(name, taken) {
  const lower = new Set(taken.map((one) => one.toLowerCase()));
  let found = name;
  for (let number = 2; lower.has(found.toLowerCase()); number += 1) found = `${name} ${number}`;
  return found;
}
