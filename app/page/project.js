// What the user has made in one mode: classes with their pictures, questions, and the session.
// Nothing here draws or calls the server; whoever listens is told of every change, once a turn.

let numbers = 0;

/** A picture by its bytes. `problem` says why the server cannot use it. */
export class Picture {
  constructor(blob, name) {
    this.id = ++numbers;
    this.blob = blob;
    this.name = name;
    this.url = URL.createObjectURL(blob);
    this.problem = null;
  }

  forget() {
    URL.revokeObjectURL(this.url);
  }
}

/** A class: its name, and its pictures in their order. */
export class Column {
  constructor(name) {
    this.id = ++numbers;
    this.name = name;
    this.pictures = [];
  }

  get label() {
    return this.name.normalize("NFC").trim();
  }

  get usable() {
    return this.pictures.filter((picture) => picture.problem === null);
  }
}

/** A question: a picture, and the prediction once there is one. */
export class Question {
  constructor(picture) {
    this.id = ++numbers;
    this.picture = picture;
    this.prediction = null;
    this.problem = null;
  }
}

export class Project extends EventTarget {
  #told = false;

  constructor(mode) {
    super();
    this.mode = mode;
    this.columns = [];
    this.questions = [];
    this.settings = { initialization: "", shrink: true };
    this.busy = null; // what is being done, in words
    this.waiting = []; // questions that are asked once that is over
    this.clear();
  }

  /** Begin anew with two empty classes. */
  clear() {
    for (const { pictures } of this.columns) pictures.forEach((picture) => picture.forget());
    this.questions.forEach(({ picture }) => picture.forget());
    this.columns = [new Column("Class 1"), new Column("Class 2")];
    this.questions = [];
    this.forgetSession();
  }

  /** Whether there is a session that can be asked. */
  get canAsk() {
    return this.session !== null && this.lost === null;
  }

  /** The session is gone, or another one follows. */
  forgetSession() {
    this.session = null;
    this.report = null;
    this.lost = null; // why a session that was there can no longer be asked
    this.log = [];
    this.changed();
  }

  changed() {
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      this.dispatchEvent(new Event("change"));
    });
  }

  get isEmpty() {
    return this.columns.every((column) => column.pictures.length === 0) && this.questions.length === 0;
  }

  /** All pictures that can be sent, with their labels, class by class. */
  get support() {
    return this.columns.flatMap((column) => column.usable.map((picture) => ({ picture, label: column.label })));
  }

  /** The suspicious pictures of the last report, by id, as the server tells of them. */
  get suspects() {
    const found = this.report?.report.suspects ?? [];
    return new Map(found.map((suspect) => [this.report.learned[suspect.position].id, suspect]));
  }

  /** The class that a picture is in, and the picture; null once it was removed. */
  find(id) {
    for (const column of this.columns) {
      const picture = column.pictures.find((one) => one.id === id);
      if (picture) return { column, picture };
    }
    return null;
  }

  /** Put a picture into the class of another label. */
  move(id, label) {
    const { column, picture } = this.find(id);
    column.pictures = column.pictures.filter((one) => one !== picture);
    this.addToClass(label, [picture]);
  }

  /** Where a class stands, by its label; what decides on its colour and shape. */
  placeOf(label) {
    const place = this.columns.findIndex((column) => column.label === label);
    return place < 0 ? this.columns.length : place;
  }

  addColumn(name) {
    const column = new Column(name ?? this.#freeName());
    this.columns.push(column);
    this.changed();
    return column;
  }

  removeColumn(column) {
    column.pictures.forEach((picture) => picture.forget());
    this.columns = this.columns.filter((one) => one !== column);
    this.changed();
  }

  /** Put pictures into the class of a name: one that has it, an untouched empty one, or a new one. */
  addToClass(name, pictures) {
    const label = name.normalize("NFC").trim();
    let column = this.columns.find((one) => one.label === label);
    column ??= this.columns.find((one) => one.pictures.length === 0 && /^Class \d+$/.test(one.name));
    column ??= this.addColumn(name);
    if (column.label !== label) column.name = name;
    this.addTo(column, pictures);
  }

  addTo(column, pictures) {
    column.pictures.push(...pictures);
    this.changed();
  }

  removePicture(column, picture) {
    column.pictures = column.pictures.filter((one) => one !== picture);
    picture.forget();
    this.changed();
  }

  ask(pictures) {
    const added = pictures.map((picture) => new Question(picture));
    this.questions.unshift(...added);
    this.changed();
    return added;
  }

  removeQuestion(question) {
    this.questions = this.questions.filter((one) => one !== question);
    question.picture.forget();
    this.changed();
  }

  /** How the pictures differ from what the session has learned from. */
  get difference() {
    const now = this.support;
    const known = new Map(this.session?.learned.map(({ id, label }) => [id, label]) ?? []);
    const ids = new Set(now.map(({ picture }) => picture.id));
    return {
      added: now.filter(({ picture }) => !known.has(picture.id)),
      removed: this.session?.learned.filter(({ id }) => !ids.has(id)) ?? [],
      moved: now.filter(({ picture, label }) => known.has(picture.id) && known.get(picture.id) !== label),
    };
  }

  #freeName() {
    let number = this.columns.length + 1;
    while (this.columns.some((column) => column.label === `Class ${number}`)) number += 1;
    return `Class ${number}`;
  }
}
