// What was done on the page, as commands for curl and as a program in Python. Files have the names
// that "Pictures as zip" gives them.

import { address, hasKey } from "./api.js";
import { byId } from "./dom.js";
import { filed } from "./filing.js";

const ABOUT = "Run it where “Pictures as zip” was unpacked.";

/** Show code in a dialog, ready to be copied. */
export function showCode(title, code) {
  const dialog = byId("code");
  byId("code-title").textContent = title;
  byId("code-about").textContent = ABOUT;
  byId("code-text").textContent = code;
  byId("code-said").textContent = "";
  byId("code-close").onclick = () => dialog.close();
  byId("code-copy").onclick = async () => {
    try {
      await navigator.clipboard.writeText(code);
      byId("code-said").textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(byId("code-text"));
      byId("code-said").textContent = "The browser does not let this page copy. The text is marked: copy it by hand.";
    }
  };
  dialog.showModal();
}

/** The commands that do what was done, by curl. */
export function curl(project) {
  const { pathOf } = filed(project);
  const key = hasKey() ? ' -H "Authorization: Bearer $INKLING_API_KEY"' : "";
  const command = (path, parts) => [`curl -s${key} "${address("")}${path}"`, ...parts].join(" \\\n  ");
  const image = (field, picture) => `-F ${quoted(`${field}=@"${pathOf.get(picture.id)}"`)}`;
  const images = (items) => items.map(({ picture, label }) => image(label, picture));
  const lines = [];
  if (project.log.some(({ items }) => items?.some(({ label }) => label.includes("="))))
    lines.push("# curl cannot send a label with “=” in a form: rename that class, or use Python.");
  for (const step of steps(project)) {
    if (step.did === "adapt") {
      const options = step.initialization ? [`-F initialization=${quoted(step.initialization)}`] : [];
      lines.push("# The answer names the session: put that in the place of SESSION_ID.");
      lines.push(command("adapt", [...options, ...images(step.items)]), "SESSION=SESSION_ID");
    } else if (step.did === "add") lines.push(command("sessions/$SESSION/support", images(step.items)));
    else if (step.did === "remove") lines.push(command(`sessions/$SESSION/support/${step.place}`, ["-X DELETE"]));
    else lines.push(command("predict", ["-F session_id=$SESSION", ...step.pictures.map((picture) => image("image", picture))]));
  }
  return `${lines.join("\n")}\n`;
}

/** A program that does what was done, with the Python client. */
export function python(project) {
  const { pathOf } = filed(project);
  const text = (value) => JSON.stringify(value);
  const server = text(address("").replace(/\/$/, ""));
  const key = hasKey() ? ', api_key=os.environ["INKLING_API_KEY"]' : "";
  const paths = (pictures) => `[${pictures.map((picture) => text(pathOf.get(picture.id))).join(", ")}]`;
  const support = (items) => {
    const labels = [...new Set(items.map(({ label }) => label))];
    const of = (label) => items.filter((item) => item.label === label).map(({ picture }) => picture);
    return ["{", ...labels.map((label) => `    ${text(label)}: ${paths(of(label))},`), "}"];
  };
  const called = (before, [first, ...more], after) => [before + first, ...more.slice(0, -1), more.at(-1) + after];
  const lines = [];
  for (const step of steps(project)) {
    if (step.did === "adapt") {
      const option = step.initialization ? `, initialization=${text(step.initialization)}` : "";
      lines.push(...called("session = inkling.adapt(", support(step.items), `${option})`));
    } else if (step.did === "add") lines.push(...called("session.add(", support(step.items), ")"));
    else if (step.did === "remove") lines.push(`session.remove(${step.place})`);
    else lines.push(`for prediction in session.predict(${paths(step.pictures)}):`, "    print(prediction.label, prediction.probability)");
  }
  const imports = key ? ["import os", ""] : [];
  const body = lines.map((line) => `    ${line}`);
  return [...imports, "from inkling import Client", "", `with Client(${server}${key}) as inkling:`, ...body, ""].join("\n");
}

/** What was done; the same question is told where it was asked last. */
function steps(project) {
  const key = ({ pictures }) => pictures.map(({ id }) => id).join();
  const asked = project.log.filter(({ did }) => did === "predict");
  const last = new Set(new Map(asked.map((step) => [key(step), step])).values());
  return project.log.filter((step) => step.did !== "predict" || last.has(step));
}

function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
