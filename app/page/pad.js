// A sheet to draw on, with mouse, finger or pen: dark ink on white paper in every colour scheme.

import { h } from "./dom.js";

const SIDE = 280; // pixels of the picture, however large the sheet is shown
const PEN = 10;

/** A sheet. Fires `ink` while it is drawn on and `empty` when it was cleared. */
export class Pad extends EventTarget {
  constructor(label) {
    super();
    this.canvas = h("canvas", { class: "pad", width: SIDE, height: SIDE, role: "img", "aria-label": label });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.#wipe();
    this.canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    this.canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => this.#end());
  }

  /** The drawing as a PNG. */
  blob() {
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
  }

  clear() {
    this.#wipe();
    this.dispatchEvent(new Event("empty"));
  }

  #wipe() {
    this.isEmpty = true;
    this.last = null;
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, SIDE, SIDE);
  }

  #begin(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.last = this.#place(event);
    this.#line(this.last);
  }

  #move(event) {
    if (this.last === null) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    for (const move of moves.length > 0 ? moves : [event]) this.#line(this.#place(move));
  }

  #end() {
    this.last = null;
  }

  #line(to) {
    const { context } = this;
    context.strokeStyle = "#111";
    context.lineWidth = PEN;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.beginPath();
    context.moveTo(this.last.x, this.last.y);
    context.lineTo(to.x, to.y);
    context.stroke();
    this.last = to;
    this.isEmpty = false;
    this.dispatchEvent(new Event("ink"));
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * SIDE) / box.width, y: ((event.clientY - box.top) * SIDE) / box.height };
  }
}
