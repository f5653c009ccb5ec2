// Calls to the server that this page came from. A call that may be repeated is repeated while the
// server is busy or away; a key is asked for where the server wants one.

const ROOT = new URL("..", import.meta.url);
const KEPT = "inkling-api-key";
const TRIES = 8;
const LONGEST_WAIT = 20;

/** The server's refusal, with its problem details. */
export class Refused extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.detail || problem.title || `the server answered ${status}`);
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
    this.kind = (problem.type ?? "").split("/").pop();
  }

  /** The problems with single items of a field: `index` and `message` of each. */
  about(field) {
    if (this.status !== 422) return [];
    return (this.problem.problems ?? []).filter((one) => one.field === field && one.index !== undefined);
  }
}

/** No answer came. */
export class Unreachable extends Error {}

/** Told of what the page waits for: `waiting` with words, `well` once an answer came. */
export const weather = new EventTarget();

let askForKey = async () => null;
let asking = null;

/** Give the function that asks for an API key; it is told whether one was refused. */
export function onKeyWanted(ask) {
  askForKey = ask;
}

/** Whether this tab has an API key. */
export function hasKey() {
  return sessionStorage.getItem(KEPT) !== null;
}

/** The address of something on the server, behind whatever prefix the page is. */
export function address(path) {
  return new URL(path, ROOT).href;
}

/** A key under which a call is done once, however often it is sent. */
export function freshKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(18)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * One call; gives the answer's response. `json` is the body, `once` an idempotency key, `match` an
 * ETag. Without `patient` the first failure counts. Throws Refused and Unreachable.
 */
export async function call(method, path, { json, body, once, match, patient = true, signal } = {}) {
  for (let tried = 1; ; tried += 1) {
    try {
      const answer = await send(method, path, { json, body, once, match, signal });
      weather.dispatchEvent(new Event("well"));
      return answer;
    } catch (error) {
      if (error instanceof Refused && error.status === 401) {
        await wantKey(hasKey());
        tried = 0;
        continue;
      }
      const wait = patient && tried < TRIES ? waitFor(error, tried) : null;
      if (wait === null) throw error;
      await pause(error, wait, signal);
    }
  }
}

/** The JSON of an answer. */
export async function ask(method, path, options) {
  const answer = await call(method, path, options);
  const told = await answer.json();
  return { told, tag: answer.headers.get("ETag"), server: serverTime(answer) };
}

/** When a session that an answer tells of ends, by this computer's clock. */
export function endOf({ told, server }) {
  return Date.now() + Date.parse(told.expires_at) - server;
}

async function send(method, path, { json, body, once, match, signal }) {
  const headers = new Headers();
  if (json !== undefined) headers.set("Content-Type", "application/json");
  if (once) headers.set("Idempotency-Key", once);
  if (match) headers.set("If-Match", match);
  const key = sessionStorage.getItem(KEPT);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  let answer;
  try {
    answer = await fetch(address(path), {
      method,
      headers,
      body: json === undefined ? body : JSON.stringify(json),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable("The server does not answer.");
  }
  if (answer.ok) return answer;
  throw new Refused(answer.status, await problemOf(answer), Number(answer.headers.get("Retry-After")) || null);
}

async function problemOf(answer) {
  try {
    return await answer.json();
  } catch {
    return { title: `The server, or one before it, answered ${answer.status}.` };
  }
}

/** Seconds to wait before a call is sent again; null where that would not help. */
function waitFor(error, tried) {
  if (error instanceof Unreachable) return Math.min(2 ** (tried - 1), LONGEST_WAIT) / 2;
  if (!(error instanceof Refused)) return null;
  if (error.retryAfter !== null) return Math.min(error.retryAfter, LONGEST_WAIT);
  return [502, 503].includes(error.status) ? 2 : null;
}

async function pause(error, seconds, signal) {
  const why = error instanceof Unreachable ? "The server does not answer" : `The server is busy (${error.message})`;
  weather.dispatchEvent(new CustomEvent("waiting", { detail: `${why}. Trying again; nothing is lost.` }));
  await new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** Ask for a key once, however many calls want one. Throws Refused where none is given. */
async function wantKey(refused) {
  asking ??= askForKey(refused).finally(() => {
    asking = null;
  });
  const key = await asking;
  if (key === null) throw new Refused(401, { title: "This server needs an API key." }, null);
  sessionStorage.setItem(KEPT, key);
}

/** When the server answered, in milliseconds, by its own clock. */
function serverTime(answer) {
  const told = Date.parse(answer.headers.get("Date") ?? "");
  return Number.isNaN(told) ? Date.now() : told;
}
