// Adapting: the button, what came of it, and what can be done with what was learned.

import { lossCurve } from "./charts.js";
import { curl, python, showCode } from "./copying.js";
import { adaptNow, expire, exportNow, forgetNow, save, whyNotYet } from "./doing.js";
import { counted, h } from "./dom.js";
import { archiveOf } from "./zip_write.js";
import { filed } from "./filing.js";

/** The panel between the classes and the questions. */
export class LearningView {
  constructor(project, server) {
    this.project = project;
    this.server = server;
    this.why = h("p", { class: "hint", id: `why-${project.mode}` });
    this.button = h("button", { type: "button", class: "main-button adapt", "aria-describedby": this.why.id, onclick: () => adaptNow(project, server.limits) }, "Adapt");
    this.doing = h("p", { class: "doing", role: "status" });
    this.result = h("div", { class: "result" });
    this.countdown = h("span", { class: "countdown" });
    this.initialization = this.#initializations();
    this.shrink = h("input", { type: "checkbox", checked: true, id: `shrink-${project.mode}`, onchange: () => this.#reshrink() });
    this.element = h(
      "div",
      { class: "card learning" },
      this.button,
      this.why,
      this.doing,
      this.result,
      h(
        "details",
        { class: "options" },
        h("summary", {}, "Options"),
        h("label", { for: this.initialization.id }, "Initialization"),
        this.initialization,
        this.about,
        h("label", { class: "check" }, this.shrink, "Send large photographs smaller (1,024 pixels)"),
      ),
    );
    setInterval(() => this.#tick(), 1000);
  }

  update() {
    const { project, server } = this;
    const why = whyNotYet(project);
    this.button.disabled = why !== null || project.busy !== null;
    this.button.textContent = project.session ? "Adapt again" : "Adapt";
    this.why.textContent = why ?? this.#changes();
    this.doing.textContent = project.busy ?? "";
    this.initialization.value = project.settings.initialization;
    const chosen = server.initializations.find(({ name }) => name === project.settings.initialization);
    this.about.textContent = chosen?.description ?? "Which one is used is seen from the pictures.";
    this.#showResult();
  }

  /** Options of the initializations, once the server has told of them. */
  learnOf(initializations) {
    const options = initializations.map(({ name }) => h("option", { value: name }, name));
    this.initialization.replaceChildren(h("option", { value: "" }, "Automatic"), ...options);
  }

  #initializations() {
    this.about = h("p", { class: "hint" });
    return h(
      "select",
      {
        id: `initialization-${this.project.mode}`,
        onchange: (event) => {
          this.project.settings.initialization = event.target.value;
          this.project.changed();
        },
      },
      h("option", { value: "" }, "Automatic"),
    );
  }

  #reshrink() {
    this.project.settings.shrink = this.shrink.checked;
    this.project.changed();
  }

  #changes() {
    const { project } = this;
    if (!project.canAsk) return "";
    const { added, removed, moved } = project.difference;
    const parts = [
      added.length > 0 ? `${counted(added.length, "picture")} added` : "",
      removed.length > 0 ? `${counted(removed.length, "picture")} taken out` : "",
      moved.length > 0 ? `${counted(moved.length, "picture")} of another class` : "",
    ].filter(Boolean);
    return parts.length > 0 ? `Since then: ${parts.join(", ")}. Adapt again to learn from that.` : "";
  }

  #showResult() {
    const { project } = this;
    const state = project.lost ?? project.session;
    if (this.shown === state && this.exporting === project.busy) return;
    [this.shown, this.exporting] = [state, project.busy];
    if (project.lost !== null) this.result.replaceChildren(h("p", { class: "notice error", role: "alert" }, project.lost));
    else if (project.session === null) this.result.replaceChildren();
    else this.result.replaceChildren(...this.#told(project.session));
    this.#tick();
  }

  #told({ answer, milliseconds }) {
    const { project } = this;
    const images = answer.classes.reduce((sum, one) => sum + one.images, 0);
    const facts = `${counted(images, "picture")} of ${counted(answer.classes.length, "class", "classes")}, ${counted(answer.steps, "step")} from ${answer.initialization.name}`;
    const button = (words, onclick) => h("button", { type: "button", disabled: project.busy !== null, onclick }, words);
    return [
      h("p", { class: "took", role: "status" }, `Learned in ${duration(milliseconds)}`),
      h("p", { class: "hint" }, `${facts}.`),
      lossCurve(answer.loss),
      h("p", { class: "hint" }, "Loss, step by step"),
      ...answer.warnings.map(({ message }) => h("p", { class: "notice warning" }, message)),
      h("p", {}, this.countdown),
      h(
        "div",
        { class: "row" },
        button("As curl", () => showCode("As curl", curl(project))),
        button("As Python", () => showCode("As Python", python(project))),
      ),
      h(
        "details",
        { class: "take", open: this.isTaking === true, ontoggle: ({ target }) => (this.isTaking = target.open) },
        h("summary", {}, "Take it along, or delete it"),
        h(
          "div",
          { class: "row" },
          button("ONNX file", () => exportNow(project, "onnx")),
          button("Session file", () => exportNow(project, "safetensors")),
          button("Pictures as zip", async () => save(await archiveOf(filed(project).files), "pictures.zip")),
          button("Delete from the server", () => forgetNow(project)),
        ),
        h("p", { class: "hint" }, "ONNX runs in other programs and in browsers; a session file moves to another Inkling server."),
      ),
    ];
  }

  #tick() {
    const { project } = this;
    if (!project.canAsk) return;
    const left = Math.ceil((project.session.endsAt - Date.now()) / 1000);
    if (left <= 0) expire(project);
    else this.countdown.textContent = `Forgotten in ${clock(left)} unless it is used`;
  }
}

function duration(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

function clock(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const shown = parts[0] > 0 ? parts : parts.slice(1);
  return shown.map((part, place) => (place === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}
