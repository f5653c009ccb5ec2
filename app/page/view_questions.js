// Questions: pictures whose class is asked for, dropped, drawn or seen by the camera.

import { predictLive } from "./asking.js";
import { Bars } from "./bars.js";
import { frame } from "./camera.js";
import { CameraSwitch } from "./camera_switch.js";
import { askNow, noticeLoss } from "./doing.js";
import { arrange, h } from "./dom.js";
import { picker } from "./drops.js";
import { newestOnly } from "./newest.js";
import { Pad } from "./pad.js";
import { Picture } from "./project.js";

/** The panel of questions and their answers. */
export class QuestionsView {
  constructor(project, server, take) {
    this.project = project;
    this.server = server;
    this.rows = new Map();
    this.hint = h("p", { class: "hint" });
    this.list = h("ul", { class: "questions" });
    this.live = new Bars({ isLive: true });
    this.liveBox = h("div", { class: "live" });
    this.view = 0; // what is looked at live; an answer to an earlier one is not shown
    this.placeOf = (label) => project.placeOf(label);
    const again = h("button", { type: "button", hidden: true, onclick: () => askNow(project, project.questions, server.limits) }, "Ask again");
    this.again = again;
    const make = project.mode === "draw" ? this.#drawing() : this.#camera();
    this.element = h(
      "div",
      { class: "card asking" },
      this.hint,
      this.liveBox,
      h("div", { class: "row" }, picker("Add files", take, { label: "Add files to ask about" }), make, again),
      this.list,
    );
  }

  update() {
    const { project } = this;
    const { questions, session, canAsk } = project;
    this.hint.textContent = canAsk ? "Drop or paste new pictures here." : "Adapt first. Pictures that are dropped here before are asked then.";
    this.again.hidden = !canAsk || !questions.some(({ prediction, problem }) => prediction === null && problem === null);
    this.again.disabled = project.busy !== null;
    if (!canAsk) this.#clearLive();
    for (const id of this.rows.keys()) if (!questions.some((question) => question.id === id)) this.rows.delete(id);
    arrange(this.list, questions.map((question) => this.#row(question)));
    if (canAsk && this.sessionShown !== session) this.refresh?.();
    this.sessionShown = session;
  }

  /** Turn off the camera, as nobody looks. */
  leave() {
    this.camera?.close();
  }

  #row(question) {
    let row = this.rows.get(question.id);
    if (!row) {
      const image = h("img", { src: question.picture.url, alt: `Asked: ${question.picture.name}`, decoding: "async" });
      const remove = h("button", { type: "button", class: "quiet", "aria-label": `Remove ${question.picture.name}`, onclick: () => this.#remove(question) }, "×");
      const bars = new Bars();
      const why = h("p", { class: "why", role: "status" });
      row = { element: h("li", { class: "question" }, h("span", { class: "thumb" }, image, remove), h("div", { class: "told" }, bars.element, why)), bars, why };
      this.rows.set(question.id, row);
    }
    row.element.classList.toggle("broken", question.problem !== null);
    row.why.textContent = question.problem ? `${question.picture.name}: ${question.problem}` : question.prediction ? "" : "not asked yet";
    if (question.prediction !== row.shown) {
      row.shown = question.prediction;
      if (question.prediction) row.bars.show(question.prediction, this.placeOf);
      else row.bars.clear();
    }
    return row.element;
  }

  #remove(question) {
    this.project.removeQuestion(question);
    this.update();
    (this.list.querySelector("button") ?? this.element.querySelector("button")).focus();
  }

  /** Ask for what is live now, and show the answer; errors end it in words. */
  async #askLive(blob) {
    const { project } = this;
    if (!project.canAsk) return;
    const { view } = this;
    try {
      const prediction = await predictLive(project, blob);
      if (this.view === view) this.live.show(prediction, this.placeOf);
    } catch (error) {
      if (!noticeLoss(project, error)) this.live.verdict.textContent = "No answer at the moment.";
      delete this.live.verdict.dataset.said;
    }
  }

  #clearLive() {
    this.view += 1;
    this.live.clear();
  }

  #drawing() {
    const pad = new Pad("A sheet to draw a question on; the answer follows the pen");
    const clear = h("button", { type: "button", disabled: true, onclick: () => pad.clear() }, "Clear");
    const offer = newestOnly(async () => this.#askLive(await pad.blob()));
    this.refresh = () => pad.isEmpty || offer();
    pad.addEventListener("ink", () => {
      clear.disabled = false;
      offer();
    });
    pad.addEventListener("empty", () => {
      clear.disabled = true;
      this.#clearLive();
    });
    this.liveBox.append(pad.canvas, this.live.element);
    return clear;
  }

  #camera() {
    const keep = h("button", { type: "button", hidden: true, onclick: () => this.#keep() }, "Keep this frame");
    this.camera = new CameraSwitch(
      (video) => {
        this.video = video;
        this.liveBox.append(video, this.live.element);
        keep.hidden = false;
        this.#follow(video);
      },
      () => {
        this.liveBox.replaceChildren();
        this.#clearLive();
        keep.hidden = true;
      },
    );
    return [this.camera.button, keep];
  }

  /** Ask for each frame as it comes, as long as this video is the one that is shown. */
  #follow(video) {
    const offer = newestOnly(async () => this.#askLive(await frame(video)));
    const onFrame = () => {
      if (!video.isConnected) return;
      offer();
      video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
  }

  async #keep() {
    const blob = await frame(this.video);
    const added = this.project.ask([new Picture(blob, `camera ${this.project.questions.length + 1}.jpg`)]);
    if (this.project.canAsk) askNow(this.project, added, this.server.limits);
  }
}
