// A button that opens the camera beside something, and closes it.

import { NoCamera, watch } from "./camera.js";
import { h } from "./dom.js";
import { tell } from "./notices.js";

/** The button and what it opens; why there is no camera is told in words. */
export class CameraSwitch {
  #end = null;

  /** `opened(video)` puts the video onto the page, `closed()` takes away what it put there. */
  constructor(opened, closed) {
    this.opened = opened;
    this.closed = closed;
    this.button = h("button", { type: "button", "aria-pressed": "false", onclick: () => (this.isOpen ? this.close() : this.#open()) }, "Camera");
  }

  get isOpen() {
    return this.#end !== null;
  }

  close() {
    if (!this.isOpen) return;
    this.#end();
    this.#end = null;
    this.button.setAttribute("aria-pressed", "false");
    this.closed();
  }

  async #open() {
    const video = h("video", { muted: true, playsinline: true, "aria-label": "What the camera sees" });
    const opening = () => {};
    this.#end = opening;
    this.button.setAttribute("aria-pressed", "true");
    this.opened(video);
    try {
      const end = await watch(video);
      if (this.#end === opening) this.#end = end;
      else end();
    } catch (error) {
      if (this.#end === opening) this.close();
      if (!(error instanceof NoCamera)) throw error;
      tell(error.message);
    }
  }
}
