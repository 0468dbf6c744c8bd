// Labelled inputs that can say what is wrong with them.
//
// A field is `{ name, node, value(), refuse(errors) }`; `refuse` answers where to put the
// focus, and takes errors as the admin API gives them: `{ field, given, rule }`.

import { h, replace, unique, words } from "./dom.js";

/** A label, a control, a hint, and room for an error. */
export function field({ name, label, hint, control, value, plain = false }) {
  control.id ||= unique(name);
  const hintId = `${control.id}-hint`;
  const errorId = `${control.id}-error`;
  const error = h("p", { class: "field-error", id: errorId });
  control.setAttribute("aria-describedby", `${hintId} ${errorId}`);
  const node = h("div", { class: "field", "data-field": name },
    h(plain ? "span" : "label", plain ? { class: "label" } : { class: "label", for: control.id }, label),
    control,
    h("p", { class: "hint", id: hintId }, hint),
    error);
  function refuse(errors) {
    replace(error, errors.map(said));
    control.toggleAttribute("aria-invalid", errors.length > 0);
    if (errors.length > 0) control.setAttribute("aria-invalid", "true");
    return errors.length > 0 ? control : null;
  }
  return { name, node, control, value: value ?? (() => control.value.trim()), refuse };
}

/** An error's rule, as a sentence. */
export function said({ field: path, given, rule }) {
  const place = /\[(\d+)\]$/.exec(path);
  const entry = place ? `Entry ${Number(place[1]) + 1}: ` : "";
  const text = `${entry}${rule}`;
  return h("span", {}, text.charAt(0).toUpperCase() + text.slice(1),
    given ? [" — given: ", words(given, { class: "mono" })] : null, ".");
}

export function textField({ name, label, hint, value = "", placeholder, mono = false, required = false }) {
  const control = h("input", {
    type: "text", name, class: mono ? "input mono" : "input", placeholder, required, autocomplete: "off",
    spellcheck: "false", autocapitalize: "none",
  });
  control.value = value;
  return field({ name, label, hint, control });
}

/** `choices` are `[value, label]`. */
export function selectField({ name, label, hint, choices, value = "" }) {
  const control = select(name, choices, value);
  return field({ name, label, hint, control, value: () => control.value });
}

export function select(name, choices, value = "", attributes = {}) {
  const control = h("select", { name, class: "input", ...attributes },
    choices.map(([given, label]) => h("option", { value: given }, label)));
  control.value = value;
  if (control.selectedIndex < 0) control.selectedIndex = 0;
  return control;
}

export function numberInput(name, label, value, { max = 1_000_000_000, min = 1, placeholder } = {}) {
  const control = h("input", {
    type: "number", class: "input number", name, "aria-label": label, title: label, min, max, step: 1,
    inputmode: "numeric", placeholder,
  });
  control.value = value ?? "";
  return control;
}

/** What a number input holds, `null` if it is empty. */
export function numberOf(control) {
  const text = control.value.trim();
  return text === "" ? null : Number(text);
}

export function checkbox(label, checked, attributes = {}) {
  const control = h("input", { type: "checkbox", ...attributes });
  control.checked = checked;
  return { control, node: h("label", { class: "check" }, control, h("span", {}, label)) };
}
