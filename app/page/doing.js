// What the page does for the user, one thing at a time; what goes wrong is told in words.

import { adapt } from "./adaptation.js";
import { ask, call, Refused } from "./api.js";
import { predict } from "./asking.js";
import { counted } from "./dom.js";
import { clearNotices, tell, words } from "./notices.js";

const EXPIRED = "The server no longer has what it learned: it was not asked for a while, or was told to forget it. Adapt again; your pictures are still here.";
const NOT_LOADED = "The server no longer has the initialization that this was learned from. Adapt again; your pictures are still here.";
const LOST = new Map([
  ["session-not-found", EXPIRED],
  ["initialization-not-loaded", NOT_LOADED],
]);

/** Why there is nothing to adapt to yet; null when there is. */
export function whyNotYet(project) {
  const used = project.columns.filter((column) => column.usable.length > 0);
  const unnamed = used.find((column) => column.label === "");
  if (unnamed) return "Give each class that has pictures a name.";
  const labels = new Set(used.map((column) => column.label));
  if (labels.size < 2) return "Show it pictures of at least two classes.";
  return null;
}

/** Adapt, and ask all questions that are there. */
export function adaptNow(project, limits) {
  return during(project, "Adapting…", async () => {
    project.waiting = [];
    clearNotices();
    const aside = await adapt(project, limits);
    if (aside > 0) {
      tell(`${counted(aside, "picture")} could not be used and ${aside === 1 ? "was" : "were"} set aside, outlined below with the reason. It learned from the others.`);
    }
    await predict(project, project.questions, limits);
  });
}

/** Ask questions, or have them wait until what is being done is over. */
export async function askNow(project, questions, limits) {
  project.waiting.push(...questions);
  if (project.busy !== null) return;
  const next = project.waiting.splice(0).filter((question) => project.questions.includes(question));
  if (next.length > 0) await during(project, "Asking…", () => predict(project, next, limits));
}

/** Begin anew; the server is told to forget what it learned, and does so in time by itself. */
export function beginAnew(project) {
  if (project.canAsk) {
    call("DELETE", `sessions/${project.session.id}`, { patient: false }).catch(() => {});
  }
  project.clear();
}

/** Check the support images against each other. */
export function reportNow(project) {
  return during(project, "Checking the examples…", async () => {
    const { session } = project;
    const { told } = await ask("POST", `sessions/${session.id}/report`, { json: { embedding: true } });
    project.report = { ...told, learned: session.learned };
  });
}

/** Save what was learned as a file. */
export function exportNow(project, format) {
  const words = format === "onnx" ? "Making the ONNX file, which takes some seconds the first time…" : "Saving…";
  return during(project, words, async () => {
    const answer = await call("GET", `sessions/${project.session.id}/export?format=${format}`);
    save(await answer.blob(), `inkling-session.${format}`);
  });
}

/** Have the server forget what it learned; the pictures stay. */
export function forgetNow(project) {
  return during(project, "Deleting…", async () => {
    try {
      await call("DELETE", `sessions/${project.session.id}`);
    } catch (error) {
      if (!(error instanceof Refused && error.status === 404)) throw error;
    }
    project.forgetSession();
    project.questions.forEach((question) => (question.prediction = null));
    tell("The server has forgotten what it learned, and its copies of the pictures. Yours are still on this page.", "note");
  });
}

/** Whether an error says that the session is gone; that is then shown where the session was. */
export function noticeLoss(project, error) {
  if (!(error instanceof Refused) || !LOST.has(error.kind) || project.session === null) return false;
  project.lost = LOST.get(error.kind);
  project.changed();
  return true;
}

/** The session's time is over by the clock. */
export function expire(project) {
  project.lost = EXPIRED;
  project.changed();
}

/** Give the user a file. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  [link.href, link.download] = [url, name];
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

async function during(project, what, work) {
  if (project.busy !== null) return;
  project.busy = what;
  project.changed();
  try {
    await work();
  } catch (error) {
    if (!noticeLoss(project, error)) tell(words(error));
  } finally {
    project.busy = null;
    project.changed();
  }
}
