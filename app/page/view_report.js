// The report: how good the examples are, which are suspicious, and where they lie.

import { heatMap, map } from "./charts.js";
import { reportNow } from "./doing.js";
import { counted, h, percent } from "./dom.js";

/** The panel of the report. */
export class ReportView {
  constructor(project) {
    this.project = project;
    this.button = h("button", { type: "button", onclick: () => reportNow(project) }, "Check the examples");
    this.result = h("div", { class: "report" });
    this.hint = h("p", { class: "hint" }, "Each picture is told by what was learned from all others. It finds pictures in the wrong class.");
    this.element = h("div", { class: "card reporting" }, this.hint, h("div", { class: "row" }, this.button), this.result);
  }

  update() {
    const { project } = this;
    const { report, session, canAsk, busy } = project;
    this.button.disabled = !canAsk || busy !== null || !session.answer.keeps_support;
    // Pictures that were moved or taken out change what is said of suspects.
    const state = report === null ? null : [report.session_id, report.version, ...report.learned.map(({ id }) => this.#labelOf(id))].join();
    if (this.shown === state) return;
    this.shown = state;
    this.result.replaceChildren(...(report === null ? [] : this.#told(report)));
  }

  #told({ report, embedding, learned }) {
    const { project } = this;
    const placeOf = (label) => project.placeOf(label);
    const { suspects, confusion, not_checkable: notChecked } = report;
    const suspicious = new Set(suspects.map(({ position }) => position));
    const right = report.accuracy === null ? "" : `${percent(report.accuracy)} of ${counted(report.n_checked, "picture")} told rightly by the others. `;
    const found = suspects.length === 0 ? "No picture is suspicious." : `${counted(suspects.length, "picture is", "pictures are")} suspicious:`;
    return [
      h("p", { role: "status" }, right + found),
      suspects.length > 0 ? h("ul", { class: "suspects" }, suspects.map((suspect) => this.#suspect(suspect, learned[suspect.position].id))) : null,
      notChecked.length > 0 ? h("p", { class: "hint" }, `Not checked, as there is one picture alone: ${notChecked.join(", ")}.`) : null,
      h(
        "div",
        { class: "pictured" },
        heatMap(confusion, placeOf),
        embedding ? map(embedding.points, placeOf, ({ position }) => suspicious.has(position)) : null,
      ),
    ].filter(Boolean);
  }

  #suspect({ label, looks_like: other }, id) {
    const { project } = this;
    const found = project.find(id);
    const said = `In ${label}, looks like ${other}.`;
    if (found === null) return h("li", {}, `${said} It was taken out.`);
    if (found.column.label !== label) return h("li", {}, `${said} It is in ${found.column.label} now.`);
    return h(
      "li",
      { class: "suspect-row" },
      h("img", { src: found.picture.url, alt: found.picture.name }),
      h("span", {}, said),
      h("button", { type: "button", onclick: () => project.move(id, other) }, `Move to ${other}`),
      h("button", { type: "button", onclick: () => project.removePicture(found.column, found.picture) }, "Take out"),
    );
  }

  #labelOf(id) {
    return this.project.find(id)?.column.label ?? null;
  }
}
