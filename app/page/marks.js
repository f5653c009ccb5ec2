// How a class looks wherever it is shown: a colour and a shape, by its place among the classes.

import { svg } from "./dom.js";

const COLOURS = 8;
const SHAPES = [
  "M8 2a6 6 0 1 1 0 12a6 6 0 1 1 0-12Z",
  "M2.5 2.5h11v11h-11Z",
  "M8 1.5 15 14H1Z",
  "M8 .8 15.2 8 8 15.2.8 8Z",
  "M6 1h4v5h5v4h-5v5H6v-5H1V6h5Z",
  "M8 14.5 1 2h14Z",
  "M8 .8l2.2 4.6 5 .7-3.6 3.5.9 5L8 12.2l-4.5 2.4.9-5L.8 6.1l5-.7Z",
];
const NAMES = ["circle", "square", "triangle", "diamond", "cross", "turned triangle", "star"];

/** The name of a class's colour in the style sheet. */
export function colourOf(place) {
  return `var(--class-${(place % COLOURS) + 1})`;
}

/** The words for a class's shape. */
export function shapeName(place) {
  return NAMES[place % NAMES.length];
}

/** The path of a class's shape in a square of 16. */
export function shapeOf(place) {
  return SHAPES[place % SHAPES.length];
}

/** A class's mark. It says nothing to screen readers: the name stands beside it. */
export function mark(place) {
  const path = svg("path", { d: shapeOf(place) });
  path.style.setProperty("fill", colourOf(place));
  return svg("svg", { viewBox: "0 0 16 16", class: "mark", "aria-hidden": "true" }, path);
}
