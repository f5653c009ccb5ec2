// Adapting: a session from all pictures, or the changes sent to the session that is there.

import { ask, call, endOf, freshKey, Refused } from "./api.js";
import { dataUrl, divided, outgoing } from "./sending.js";

const MOST_REMOVALS = 3; // each adapts again, so that more of them are dearer than a new session

/**
 * Adapt to the project's pictures. Those that the server cannot use are set aside, each with its
 * reason, and the others go on. Gives how many were set aside. Throws Refused and Unreachable.
 */
export async function adapt(project, limits) {
  let aside = 0;
  for (;;) {
    try {
      await once(project, limits);
      return aside;
    } catch (error) {
      const broken = brokenPictures(error);
      if (broken.length === 0) throw error;
      for (const { picture, message } of broken) picture.problem = message;
      aside += broken.length;
      project.changed();
      const labels = new Set(project.support.map(({ label }) => label));
      if (labels.size < 2) throw error;
    }
  }
}

async function once(project, limits) {
  const began = performance.now();
  const { added, removed, moved } = project.difference;
  const { session } = project;
  const goesOn =
    session !== null && project.lost === null && session.answer.keeps_support && moved.length === 0 &&
    removed.length <= MOST_REMOVALS && session.asked === project.settings.initialization;
  if (goesOn && added.length + removed.length > 0) {
    try {
      if (added.length > 0) await addAll(project, added, limits);
      for (const { id } of removed) await takeOut(project, id);
    } catch (error) {
      if (!hasMoved(error)) throw error;
      await begin(project, limits);
    }
  } else await begin(project, limits);
  project.session.milliseconds = performance.now() - began;
  project.report = null;
  project.changed();
}

/** Whether a session can no longer be changed by what the page knows of it. */
function hasMoved(error) {
  return error instanceof Refused && [404, 409, 412].includes(error.status) && brokenPictures(error).length === 0;
}

async function begin(project, limits) {
  const earlier = project.lost === null ? project.session : null;
  const [first, ...rest] = divided(await labelled(project, project.support), "max_support_images", limits);
  const asked = project.settings.initialization;
  const body = { support: await encoded(first), ...(asked ? { initialization: asked } : {}) };
  const answer = await sent(first, "adapt", { json: body, once: freshKey() });
  project.session = { ...told(answer, first), asked };
  project.lost = null;
  project.log = [{ did: "adapt", items: first, initialization: asked }];
  for (const part of rest) await add(project, part);
  // The server forgets it in time by itself.
  if (earlier !== null) await call("DELETE", `sessions/${earlier.id}`, { patient: false }).catch(() => {});
}

async function addAll(project, added, limits) {
  for (const part of divided(await labelled(project, added), "max_support_images", limits)) await add(project, part);
}

async function add(project, part) {
  const { session } = project;
  const options = { json: { support: await encoded(part) }, once: freshKey(), match: session.tag };
  const answer = await sent(part, `sessions/${session.id}/support`, options);
  project.session = { ...session, ...told(answer, part, session.learned) };
  project.log.push({ did: "add", items: part });
}

async function takeOut(project, id) {
  const { session } = project;
  const place = session.learned.findIndex((one) => one.id === id);
  const path = `sessions/${session.id}/support/${place}`;
  const answer = await ask("DELETE", path, { once: freshKey(), match: session.tag });
  const learned = session.learned.filter((one) => one.id !== id);
  project.session = { ...session, ...told(answer, [], learned) };
  project.log.push({ did: "remove", place });
}

/** A call with images; a refusal remembers which they were. */
async function sent(items, path, options) {
  try {
    return await ask("POST", path, options);
  } catch (error) {
    if (error instanceof Refused) error.items = items;
    throw error;
  }
}

function told(came, items, learned = []) {
  return {
    id: came.told.session_id,
    tag: came.tag,
    answer: came.told,
    endsAt: endOf(came),
    learned: [...learned, ...items.map(({ picture, label }) => ({ id: picture.id, label }))],
  };
}

/** The pictures that a refusal is about, each with what is wrong. */
function brokenPictures(error) {
  if (!(error instanceof Refused) || !error.items) return [];
  const about = error.about("support");
  if (about.some(({ code }) => code === "bad_label")) return [];
  return about.map(({ index, message }) => ({ picture: error.items[index].picture, message }));
}

async function labelled(project, support) {
  const blobs = await outgoing(support.map(({ picture }) => picture), project.settings);
  return support.map((item, place) => ({ ...item, blob: blobs[place] }));
}

async function encoded(items) {
  return Promise.all(items.map(async ({ label, blob }) => ({ label, image: await dataUrl(blob) })));
}
