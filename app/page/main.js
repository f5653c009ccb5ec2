// The page: two modes, one of which is shown, and what both know of the server.

import { address, ask, onKeyWanted, weather } from "./api.js";
import { byId } from "./dom.js";
import { Mode } from "./mode.js";
import { tell, words } from "./notices.js";
import { Project } from "./project.js";

const server = { limits: {}, initializations: [] };
const modes = new Map(["photos", "draw"].map((name) => [name, new Mode(new Project(name), server)]));

function show(name) {
  byId("main").replaceChildren(modes.get(name).element);
  for (const [one, mode] of modes) {
    if (one !== name) mode.leave();
    byId(`mode-${one}`).setAttribute("aria-pressed", String(one === name));
  }
}

function wantedMode() {
  return location.hash === "#draw" ? "draw" : "photos";
}

function askForKey(refused) {
  const dialog = byId("key");
  const input = byId("key-input");
  byId("key-why").textContent = refused
    ? "The server does not know that key. Look whether it was copied whole."
    : "Whoever runs the server gives out keys. It is kept in this tab only, until the tab is closed.";
  input.value = "";
  dialog.returnValue = "none";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "use" && input.value.trim() ? input.value.trim() : null), { once: true });
  });
}

async function learnOfServer() {
  try {
    const { told } = await ask("GET", "initializations");
    Object.assign(server, told);
    for (const mode of modes.values()) {
      mode.learning.learnOf(told.initializations);
      mode.update();
    }
  } catch (error) {
    tell(words(error));
  }
}

function start() {
  byId("docs").href = address("docs");
  for (const [name, mode] of modes) {
    byId(`mode-${name}`).addEventListener("click", () => {
      history.replaceState(null, "", name === "draw" ? "#draw" : location.pathname + location.search);
      show(name);
    });
    mode.update();
  }
  show(wantedMode());
  addEventListener("hashchange", () => show(wantedMode()));
  // What is dropped beside a place for it does not take the page away.
  for (const event of ["dragover", "drop"]) document.addEventListener(event, (one) => one.preventDefault());
  weather.addEventListener("waiting", ({ detail }) => (byId("weather").textContent = detail));
  weather.addEventListener("well", () => (byId("weather").textContent = ""));
  onKeyWanted(askForKey);
  learnOfServer();
}

start();
