// Sample pictures, which the server has with it.

import { address } from "./api.js";
import { beginAnew } from "./doing.js";
import { Picture } from "./project.js";

const MODES = { photos: "photographs", draw: "drawings" };
const TYPES = { jpg: "image/jpeg", png: "image/png" };

/** Fill a project with the samples of its mode. Throws TypeError where they cannot be had. */
export async function fillWithSamples(project) {
  const sets = await (await got("page/samples.json")).json();
  const { classes, queries } = sets[MODES[project.mode]];
  const filled = await Promise.all(classes.map(async ({ label, images }) => ({ label, pictures: await Promise.all(images.map(pictureOf)) })));
  const asked = await Promise.all(queries.map(pictureOf));
  beginAnew(project);
  project.columns = [];
  for (const { label, pictures } of filled) project.addToClass(label, pictures);
  project.ask(asked);
}

async function pictureOf(path) {
  const bytes = await (await got(`page/samples/${path}`)).arrayBuffer();
  const name = path.split("/").pop();
  return new Picture(new Blob([bytes], { type: TYPES[name.split(".").pop()] }), name);
}

async function got(path) {
  const answer = await fetch(address(path));
  if (!answer.ok) throw new TypeError(`the server answered ${answer.status}`);
  return answer;
}
