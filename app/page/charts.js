// Small pictures of numbers: the loss by step, confusions, and where pictures lie.

import { counted, h, svg } from "./dom.js";
import { colourOf, mark, shapeName, shapeOf } from "./marks.js";

const WIDTH = 160;
const HEIGHT = 48;
const MARGIN = 4;
const MARK = 0.1; // of a class's shape on the map, which reaches from -1 to 1

/** The loss after each step, from before the first. */
export function lossCurve(losses) {
  const highest = Math.max(...losses, 1e-9);
  const x = (step) => MARGIN + (step * (WIDTH - 2 * MARGIN)) / Math.max(1, losses.length - 1);
  const y = (loss) => HEIGHT - MARGIN - (loss / highest) * (HEIGHT - 2 * MARGIN);
  const points = losses.map((loss, step) => [x(step), y(loss)]);
  const label = `Loss by step, from before the first: ${losses.map((loss) => loss.toPrecision(2)).join(", ")}`;
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "loss", role: "img", "aria-label": label },
    svg("title", {}, label),
    svg("path", { class: "axis", d: `M${MARGIN} ${HEIGHT - MARGIN}H${WIDTH - MARGIN}` }),
    svg("polyline", { points: points.map((point) => point.join(",")).join(" ") }),
    points.map(([left, top]) => svg("circle", { cx: left, cy: top, r: 2.5 })),
  );
}

/** How often pictures of a class were taken for each class: a table, dark where many were. */
export function heatMap({ labels, counts }, placeOf) {
  const heading = (label, scope) => h("th", { scope }, h("span", { class: "label" }, mark(placeOf(label)), h("span", {}, label)));
  const cell = (count, row, column) => {
    const total = counts[row].reduce((sum, one) => sum + one, 0);
    const share = total === 0 ? 0 : count / total;
    const kind = row === column ? "right" : "wrong";
    return h("td", { class: count > 0 ? kind : "none", style: { "--share": `${Math.round(100 * share)}%` } }, String(count));
  };
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Confusions" },
    h(
      "table",
      { class: "heat" },
      h("caption", {}, "Rows: what a picture is. Columns: what it was taken for."),
      h("thead", {}, h("tr", {}, h("td", {}), labels.map((label) => heading(label, "col")))),
      h("tbody", {}, labels.map((label, row) => h("tr", {}, heading(label, "row"), counts[row].map((count, column) => cell(count, row, column))))),
    ),
  );
}

/** Where pictures lie for the initialization: a mark each, like classes near each other. */
export function map(points, placeOf, isSuspect) {
  const edge = 1 + 1.5 * MARK;
  const labels = [...new Set(points.map(({ label }) => label))];
  const about = `Map of ${counted(points.length, "picture")}: ${labels.map((label) => `${label} by a ${shapeName(placeOf(label))}`).join(", ")}. What looks alike lies together.`;
  return h(
    "figure",
    { class: "map" },
    svg(
      "svg",
      { viewBox: `${-edge} ${-edge} ${2 * edge} ${2 * edge}`, role: "img", "aria-label": about },
      points.map((point) => dot(point, placeOf(point.label), isSuspect(point))),
    ),
    h("ul", { class: "legend" }, labels.map((label) => h("li", {}, mark(placeOf(label)), label))),
    h("figcaption", {}, "Pictures that look alike to it lie together. A ring marks a suspicious one."),
  );
}

function dot({ position, label, x, y }, place, suspicious) {
  const shape = svg("path", { d: shapeOf(place), transform: `translate(${-MARK / 2} ${-MARK / 2}) scale(${MARK / 16})` });
  shape.style.setProperty("fill", colourOf(place));
  const ring = suspicious ? [svg("circle", { r: 0.9 * MARK, class: "ring" })] : [];
  const title = svg("title", {}, `${label}, picture ${position + 1} of those sent${suspicious ? ", suspicious" : ""}`);
  return svg("g", { transform: `translate(${x} ${-y})` }, title, shape, ring);
}
