// Elements from tags, attributes and text. Text never becomes markup.

const SVG = "http://www.w3.org/2000/svg";
let count = 0;

export const unique = (prefix) => `${prefix}-${(count += 1)}`;

export function h(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  node.append(...children.flat(Infinity).filter((child) => child || child === 0 || child === ""));
  return node;
}

/** Text that people wrote: its direction and its bidi characters end where it ends. */
export const words = (text, attributes) => h("bdi", attributes, text);

export function replace(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter(Boolean));
}

/** A button with a name; `icon` stands before it. */
export function button(label, attributes, icon) {
  const { class: kind = "", ...rest } = attributes ?? {};
  return h("button", { type: "button", class: `button ${kind}`.trim(), ...rest }, icon, label);
}

/** What a screen reader says, and nobody sees. */
export const unseen = (text) => h("span", { class: "unseen" }, text);
