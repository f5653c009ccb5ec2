// Probabilities as bars, class by class, in the order of the classes so that nothing jumps.

import { arrange, h, percent } from "./dom.js";
import { colourOf, mark } from "./marks.js";

const MOST = 8; // bars; of more classes the likeliest are shown

/** Bars that follow one prediction after another. */
export class Bars {
  constructor({ isLive = false } = {}) {
    this.rows = new Map();
    this.verdict = h("p", { class: "verdict", ...(isLive ? { role: "status" } : {}) });
    this.list = h("ul", { class: "bars" });
    this.element = h("div", { class: "answer" }, this.verdict, this.list);
  }

  /** Show a prediction, as the server tells it. `placeOf` gives a label's place among the classes. */
  show({ label, probability, probabilities, none_of_these: none }, placeOf) {
    const unlikely = none?.likely === true;
    const said = unlikely ? `Perhaps none of these; most like ${label}` : label;
    if (this.verdict.dataset.said !== said) {
      this.verdict.dataset.said = said;
      this.verdict.replaceChildren(
        ...(unlikely
          ? [h("span", { class: "none-of-these" }, "Perhaps none of these"), h("span", { class: "weak" }, ` most like ${label}`)]
          : [mark(placeOf(label)), h("span", {}, label)]),
      );
    }
    this.element.classList.toggle("unlikely", unlikely);
    this.element.dataset.label = label;
    this.element.dataset.probability = probability;
    const shown = probabilities.slice(0, MOST).sort((a, b) => placeOf(a.label) - placeOf(b.label));
    arrange(this.list, shown.map((one) => this.#row(one, placeOf(one.label))));
  }

  clear() {
    delete this.verdict.dataset.said;
    this.verdict.replaceChildren();
    this.list.replaceChildren();
    this.rows.clear();
    delete this.element.dataset.label;
  }

  #row({ label, probability }, place) {
    let row = this.rows.get(label);
    if (!row) {
      const bar = h("span", { class: "bar" }, h("span", { class: "fill" }));
      const number = h("span", { class: "number" });
      row = { element: h("li", {}, h("span", { class: "label" }, mark(place), h("span", {}, label)), bar, number), bar, number };
      this.rows.set(label, row);
    }
    row.bar.style.setProperty("--share", probability);
    row.bar.style.setProperty("--colour", colourOf(place));
    row.number.textContent = percent(probability);
    return row.element;
  }
}
