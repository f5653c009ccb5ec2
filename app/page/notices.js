// Messages that stay until they are closed, and errors in words with what to do.

import { Refused, Unreachable } from "./api.js";
import { byId, h } from "./dom.js";

const MOST = 5;
const PROBLEMS = 3;
const ADVICE = new Map([
  [401, "Reload the page to give a key."],
  [403, "Open the page by the server's own address."],
  [408, "Look at the connection, or send fewer pictures at a time."],
  [413, "Take fewer pictures, or let large ones be sent smaller."],
  [429, "Wait a moment, then try again."],
  [503, "Wait a moment, then try again."],
]);

/** Tell something once: as an `error`, or as a `note`. */
export function tell(text, kind = "error") {
  const list = byId("notices");
  for (const one of list.children) if (one.dataset.text === text) one.remove();
  const notice = h(
    "div",
    { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status", "data-text": text },
    h("p", {}, text),
    h("button", { type: "button", class: "quiet", "aria-label": "Close this message", onclick: () => notice.remove() }, "×"),
  );
  list.append(notice);
  while (list.children.length > MOST) list.firstElementChild.remove();
}

/** Take away what was told before of a matter that is begun anew. */
export function clearNotices() {
  byId("notices").replaceChildren();
}

/** An error in words, with what to do. */
export function words(error) {
  if (error instanceof Unreachable) {
    return "The server does not answer. Look whether it runs and this computer is connected, then try again. Your pictures are still here.";
  }
  if (!(error instanceof Refused)) return `Something on this page went wrong: ${error.message}. Reload it if this stays.`;
  const { problem, status } = error;
  const listed = (problem.problems ?? []).slice(0, PROBLEMS).map(({ message }) => message);
  const more = (problem.problems ?? []).length - listed.length;
  const said = [problem.title, problem.detail].filter(Boolean).join(": ");
  const all = [said, ...listed.filter((one) => !said.includes(one)), more > 0 ? `and ${more} more` : ""].filter(Boolean).map((one) => one.replace(/[.]$/, ""));
  return `${all.join("; ")}. ${ADVICE.get(status) ?? ""}`.trim();
}
