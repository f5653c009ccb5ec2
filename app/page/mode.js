// One mode of the page, photographs or drawings: its four panels over one project.

import { askNow, beginAnew } from "./doing.js";
import { h } from "./dom.js";
import { picker, takesDrops, takesPastes } from "./drops.js";
import { clearNotices, tell } from "./notices.js";
import { fillWithSamples } from "./samples.js";
import { ClassesView } from "./view_classes.js";
import { LearningView } from "./view_learning.js";
import { QuestionsView } from "./view_questions.js";
import { ReportView } from "./view_report.js";

const SAMPLES = { photos: "Try it with photographs of groceries", draw: "Try it with drawn characters" };

/** The view of a project. */
export class Mode {
  constructor(project, server) {
    this.project = project;
    this.server = server;
    const toClasses = (found, column = null) => this.#toClasses(found, column);
    const toQuestions = (found) => this.#toQuestions(found);
    this.classes = new ClassesView(project, toClasses);
    this.learning = new LearningView(project, server);
    this.questions = new QuestionsView(project, server, toQuestions);
    this.report = new ReportView(project);
    this.element = this.#assembled(toClasses, toQuestions);
    project.addEventListener("change", () => this.update());
  }

  update() {
    for (const view of [this.classes, this.learning, this.questions, this.report]) view.update();
    this.fill.classList.toggle("main-button", this.project.isEmpty);
    for (const button of [this.fill, this.clear]) button.disabled = this.project.busy !== null;
    if (this.project.busy === null && this.project.canAsk) askNow(this.project, [], this.server.limits);
    this.clear.hidden = this.project.isEmpty && this.project.session === null;
  }

  /** Turn off cameras, as nobody looks. */
  leave() {
    this.classes.leave();
    this.questions.leave();
  }

  #assembled(toClasses, toQuestions) {
    const { mode } = this.project;
    this.fill = h("button", { type: "button", onclick: () => this.#fill() }, SAMPLES[mode]);
    this.clear = h("button", { type: "button", hidden: true, onclick: () => this.#clear() }, "Start anew");
    const panel = (name, title, ...parts) =>
      h("section", { class: name, "aria-labelledby": `${name}-${mode}` }, h("h2", { id: `${name}-${mode}` }, title), ...parts);
    const tools = h("div", { class: "row tools" }, this.fill, picker("Open a folder", (found) => toClasses(found), { folder: true, label: "Open a folder with a folder for each class" }), this.clear);
    const teach = panel("teach", "1. Show", tools, this.classes.element);
    const learn = panel("learn", "2. Adapt", this.learning.element);
    const ask = panel("ask", "3. Ask", this.questions.element);
    const look = panel("look", "Look closer", this.report.element);
    takesDrops(teach, (found) => toClasses(found));
    takesDrops(ask, toQuestions);
    takesPastes(ask, toQuestions);
    return h("div", { class: `mode ${mode}` }, teach, learn, ask, look);
  }

  async #fill() {
    clearNotices();
    try {
      await fillWithSamples(this.project);
    } catch (error) {
      tell(`The samples cannot be had: ${error.message}. Try again once the server answers.`);
      return;
    }
    this.learning.button.focus();
  }

  #clear() {
    clearNotices();
    beginAnew(this.project);
    this.fill.focus();
  }

  /** Dropped pictures: folders are classes, and loose ones belong to the class they were dropped on. */
  #toClasses({ loose, classes }, column) {
    for (const { name, pictures } of classes) this.project.addToClass(name, pictures);
    if (loose.length === 0) return;
    if (column !== null) this.project.addTo(column, loose);
    else tell("Drop single pictures onto the class they belong to, or onto “Ask”. Folders become classes by themselves.");
  }

  /** Questions, whatever folder they are in. */
  #toQuestions({ loose, classes }) {
    const { project } = this;
    const added = project.ask([...loose, ...classes.flatMap(({ pictures }) => pictures)]);
    if (project.canAsk) askNow(project, added, this.server.limits);
  }
}
