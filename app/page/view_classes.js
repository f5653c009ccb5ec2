// The classes: a card each, with its name, its pictures, and ways to add some.

import { frame } from "./camera.js";
import { CameraSwitch } from "./camera_switch.js";
import { arrange, counted, h } from "./dom.js";
import { picker, takesDrops, takesPastes } from "./drops.js";
import { mark } from "./marks.js";
import { Pad } from "./pad.js";
import { Picture } from "./project.js";

const FRAME_MILLISECONDS = 200; // between pictures while the button is held

/** The list of a project's classes. */
export class ClassesView {
  constructor(project, takeAll) {
    this.project = project;
    this.takeAll = takeAll;
    this.cards = new Map();
    this.list = h("ul", { class: "classes" });
    const add = h("button", { type: "button", class: "add-class", onclick: () => this.#addClass() }, "+ Add a class");
    this.element = h("div", {}, this.list, add);
  }

  update() {
    const { columns } = this.project;
    for (const [id, card] of this.cards) {
      if (columns.some((column) => column.id === id)) continue;
      card.leave();
      this.cards.delete(id);
    }
    arrange(
      this.list,
      columns.map((column) => {
        if (!this.cards.has(column.id)) this.cards.set(column.id, new Card(this.project, column, this.takeAll));
        const card = this.cards.get(column.id);
        card.update();
        return card.element;
      }),
    );
  }

  /** Turn off cameras, as nobody looks. */
  leave() {
    this.cards.forEach((card) => card.leave());
  }

  #addClass() {
    const column = this.project.addColumn();
    this.update();
    const { name } = this.cards.get(column.id);
    name.focus();
    name.select();
  }
}

class Card {
  constructor(project, column, takeAll) {
    this.project = project;
    this.column = column;
    this.thumbs = new Map();
    this.mark = h("span", { class: "mark-place" });
    this.count = h("span", { class: "count" });
    this.hint = h("p", { class: "hint", role: "status" });
    this.pictures = h("ul", { class: "thumbs" });
    this.box = h("div", {});
    this.name = h("input", {
      type: "text",
      class: "class-name",
      value: column.name,
      maxlength: 100,
      spellcheck: "false",
      autocomplete: "off",
      oninput: () => {
        column.name = this.name.value;
        project.changed();
      },
    });
    this.remove = h("button", { type: "button", class: "quiet", onclick: () => project.removeColumn(column) }, "×");
    this.make = project.mode === "draw" ? this.#drawing() : this.#camera();
    const take = (found) => takeAll(found, column);
    this.files = picker("Add files", take);
    this.element = h(
      "li",
      { class: "card class-card" },
      h("div", { class: "card-head" }, this.mark, this.name, this.remove, this.count),
      this.box,
      this.pictures,
      this.hint,
      h("div", { class: "row" }, this.files, this.make),
    );
    takesDrops(this.element, take);
    takesPastes(this.element, take);
  }

  update() {
    const { column, project } = this;
    const place = project.columns.indexOf(column);
    const called = column.label || `class ${place + 1}`;
    if (document.activeElement !== this.name) this.name.value = column.name;
    this.name.setAttribute("aria-label", `Name of class ${place + 1}`);
    this.element.setAttribute("aria-label", called);
    this.mark.replaceChildren(mark(project.placeOf(column.label)));
    this.count.textContent = counted(column.pictures.length, "picture");
    this.remove.setAttribute("aria-label", `Remove ${called} and its pictures`);
    this.remove.hidden = project.columns.length === 1;
    this.files.firstElementChild.setAttribute("aria-label", `Add files to ${called}`);
    const twin = column.label !== "" && project.columns.find((one) => one !== column && one.label === column.label);
    const empty = project.mode === "draw" ? "Draw above, or drop or paste pictures here." : "Drop or paste pictures here.";
    this.hint.textContent = twin ? "Another class has this name: they are one." : column.pictures.length === 0 ? empty : "";
    const { suspects } = project;
    arrange(this.pictures, column.pictures.map((picture, index) => this.#thumb(picture, called, index, suspects.get(picture.id))));
  }

  leave() {
    this.camera?.close();
  }

  #thumb(picture, called, index, suspect) {
    let thumb = this.thumbs.get(picture.id);
    if (!thumb) {
      const image = h("img", { src: picture.url, decoding: "async" });
      const remove = h("button", { type: "button", class: "quiet", onclick: () => this.#take(picture) }, "×");
      const why = h("span", { class: "why" });
      thumb = { element: h("li", { class: "thumb" }, image, remove, why), image, remove, why };
      this.thumbs.set(picture.id, thumb);
    }
    thumb.image.alt = `${called}, picture ${index + 1}: ${picture.name}`;
    thumb.remove.setAttribute("aria-label", `Remove picture ${index + 1} of ${called}`);
    thumb.element.classList.toggle("broken", picture.problem !== null);
    thumb.element.classList.toggle("suspect", suspect !== undefined);
    thumb.why.textContent = picture.problem ?? (suspect ? `looks like ${suspect.looks_like}` : "");
    thumb.element.title = picture.problem ? `${picture.name}: ${picture.problem}` : picture.name;
    return thumb.element;
  }

  #take(picture) {
    const place = this.column.pictures.indexOf(picture);
    this.thumbs.delete(picture.id);
    this.project.removePicture(this.column, picture);
    this.update();
    const next = this.pictures.children[Math.min(place, this.pictures.children.length - 1)];
    (next?.querySelector("button") ?? this.name).focus();
  }

  #drawing() {
    const pad = new Pad("A sheet to draw an example on");
    const add = h("button", { type: "button", class: "main-button", disabled: true, onclick: () => this.#addDrawing(pad) }, "Add drawing");
    const clear = h("button", { type: "button", disabled: true, onclick: () => pad.clear() }, "Clear");
    const follow = () => [add, clear].forEach((button) => (button.disabled = pad.isEmpty));
    pad.addEventListener("ink", follow);
    pad.addEventListener("empty", follow);
    this.box.append(pad.canvas);
    return [add, clear];
  }

  async #addDrawing(pad) {
    const picture = new Picture(await pad.blob(), `drawing ${this.column.pictures.length + 1}.png`);
    pad.clear();
    this.project.addTo(this.column, [picture]);
  }

  #camera() {
    let shown = null;
    this.camera = new CameraSwitch(
      (video) => {
        const hold = h("button", { type: "button", class: "main-button hold" }, "Hold to capture");
        const release = whileHeld(hold, () => this.#capture(video));
        shown = { box: h("div", { class: "camera" }, video, hold), release };
        this.box.append(shown.box);
      },
      () => {
        shown.release();
        shown.box.remove();
      },
    );
    return this.camera.button;
  }

  async #capture(video) {
    const blob = await frame(video);
    this.project.addTo(this.column, [new Picture(blob, `camera ${this.column.pictures.length + 1}.jpg`)]);
  }
}

/** Do something again and again while a button is held, by pointer or key; gives what ends it. */
function whileHeld(button, work) {
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
  };
  const start = (event) => {
    if (timer !== null) return;
    event.preventDefault();
    button.focus();
    if (event.pointerId !== undefined) button.setPointerCapture(event.pointerId);
    work();
    timer = setInterval(work, FRAME_MILLISECONDS);
  };
  const isPress = ({ key }) => key === " " || key === "Enter";
  button.addEventListener("pointerdown", (event) => event.button === 0 && start(event));
  button.addEventListener("keydown", (event) => isPress(event) && start(event));
  for (const end of ["pointerup", "pointercancel", "keyup", "blur"]) button.addEventListener(end, stop);
  return stop;
}
