// Elements by one call each, and the few questions that every part asks of the document.

const SVG = "http://www.w3.org/2000/svg";

/** An element; `on…` properties are listeners, a style is set by name, false and null leave out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.flat());
  return element;
}

/** The element with an id, which the page has. */
export function byId(id) {
  return document.getElementById(id);
}

/** Bring the children of an element to a list, moving and removing as little as can be. */
export function arrange(parent, wanted) {
  wanted.forEach((child, place) => {
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
  while (parent.children.length > wanted.length) parent.lastElementChild.remove();
}

/** One of a word or several, with their number: `1 picture`, `3 pictures`. */
export function counted(number, word, plural = `${word}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? word : plural}`;
}

/** A share in whole percent; almost all is never told as all. */
export function percent(share) {
  if (share > 0.99 && share < 1) return "99 %";
  return `${Math.round(100 * share)} %`;
}
