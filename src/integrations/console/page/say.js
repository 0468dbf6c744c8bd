// What has happened, said to eyes and to screen readers.

import { h, replace } from "./dom.js";

const LONG = 8_000;

/** A notice that goes away by itself. */
export function toast(...content) {
  const note = h("div", { class: "toast" }, ...content);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), LONG);
}

/** To screen readers alone. */
export function say(text) {
  replace(document.getElementById("status"), text);
}

/** A box with words: `kind` is `info`, `warning` or `danger`. */
export function callout(kind, ...content) {
  return h("div", { class: `callout ${kind}`, role: kind === "info" ? null : "alert" }, ...content);
}

/** A failed call, with a button that repeats it. */
export function failed(error, again) {
  const retry = h("button", { type: "button", class: "button", on: { click: again } }, "Try again");
  return callout("danger", h("p", {}, h("strong", {}, "That didn’t work. "), explainError(error)), retry);
}

export function explainError(error) {
  return error.unsure && !error.status ? "No answer came from the server; the network may be down." : error.message;
}

/** From when a change holds on every node. */
export function everywhere(answer) {
  const by = answer.everywhere_by ? new Date(answer.everywhere_by) : null;
  const seconds = by ? Math.ceil((by.getTime() - Date.now()) / 1_000) : 0;
  return seconds > 1 ? ` In force on every node within ${seconds} seconds.` : " In force everywhere.";
}
