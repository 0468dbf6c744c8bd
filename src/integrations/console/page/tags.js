// A list of short texts, entered one by one: with Enter, a comma, or by pasting many.

import { h, replace, unique, words } from "./dom.js";
import { field, said } from "./field.js";
import { icon } from "./icon.js";
import { say } from "./say.js";

/** `split` tells where pasted text ends one entry and begins the next. */
export function tagsField({ name, label, hint, placeholder, values = [], suggestions = [], split = /[\s,;]+/ }) {
  const tags = [...values];
  let wrong = new Map();
  const listId = unique("known");
  const input = h("input", {
    type: "text", name, class: "tag-input mono", placeholder, autocomplete: "off", spellcheck: "false",
    autocapitalize: "none", list: suggestions.length > 0 ? listId : null, enterkeyhint: "enter",
  });
  const list = h("ul", { class: "tag-list", "aria-label": `${label}: entries` });
  const box = h("div", { class: "tags", on: { click: (event) => event.target === box && input.focus() } }, list, input,
    suggestions.length > 0 ? h("datalist", { id: listId }, suggestions.map((value) => h("option", { value }))) : null);

  function draw() {
    list.hidden = tags.length === 0;
    input.placeholder = tags.length === 0 ? placeholder : "";
    replace(list, tags.map((tag, at) => h("li", { class: wrong.has(at) ? "tag wrong" : "tag" },
      words(tag, { class: "mono" }),
      h("button", {
        type: "button", class: "tag-remove", "aria-label": `Remove ${tag}`, on: { click: () => remove(at) },
      }, icon("cross")))));
  }
  function remove(at) {
    const [gone] = tags.splice(at, 1);
    wrong = new Map();
    draw();
    say(`Removed ${gone}`);
    (list.children[Math.min(at, tags.length - 1)]?.querySelector("button") ?? input).focus();
  }
  function take(text) {
    for (const piece of text.split(split).map((part) => part.trim())) {
      if (piece && !tags.includes(piece)) tags.push(piece);
    }
    input.value = "";
    draw();
  }

  input.addEventListener("keydown", (event) => {
    const ends = event.key === "Enter" || event.key === ",";
    if (ends && !event.isComposing && input.value.trim()) {
      event.preventDefault();
      take(input.value);
    } else if (event.key === "Backspace" && !input.value && tags.length > 0) {
      event.preventDefault();
      remove(tags.length - 1);
      input.focus();
    }
  });
  input.addEventListener("paste", (event) => {
    const text = event.clipboardData?.getData("text") ?? "";
    if (split.test(text.trim())) {
      event.preventDefault();
      take(input.value + text);
    }
  });
  input.addEventListener("change", () => input.value.trim() && take(input.value));
  draw();

  const made = field({ name, label, hint, control: input });
  // `field` puts its control into the node; the box around it comes in its place.
  const place = h("span");
  input.replaceWith(place);
  box.insertBefore(input, list.nextSibling);
  place.replaceWith(box);
  const basic = made.refuse;
  return {
    ...made,
    add: take,
    value: () => {
      if (input.value.trim()) take(input.value);
      return [...tags];
    },
    refuse(errors) {
      wrong = new Map(errors.map((error) => [Number(/\[(\d+)\]$/.exec(error.field)?.[1] ?? -1), said(error)]));
      draw();
      return basic(errors);
    },
  };
}
