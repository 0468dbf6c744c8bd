// A list of small groups of inputs, with a button that adds one.

import { button, h, replace, unique } from "./dom.js";
import { said } from "./field.js";
import { icon } from "./icon.js";

/**
 * `make(value)` answers `{ node, value(), first }` of a new row. `value()` of the field
 * leaves out the rows whose own value is `null`.
 */
export function rowsField({ name, label, hint, add, values = [], make, most = Infinity }) {
  const rows = [];
  const labelId = unique(name);
  const error = h("div", { class: "field-error" });
  const list = h("div", { class: "rows" });
  const more = button(add, { class: "small", on: { click: () => append(undefined).first.focus() } }, icon("plus"));

  function append(value) {
    const row = make(value);
    const remove = button("", {
      class: "quiet square small", "aria-label": `Remove this entry of ${label.toLowerCase()}`, title: "Remove",
      on: {
        click: () => {
          rows.splice(rows.indexOf(row), 1);
          frame.remove();
          more.hidden = false;
          more.focus();
        },
      },
    }, icon("cross"));
    const frame = h("div", { class: "row" }, row.node, remove);
    rows.push(row);
    list.append(frame);
    more.hidden = rows.length >= most;
    return row;
  }
  values.forEach(append);

  const node = h("div", { class: "field", "data-field": name, role: "group", "aria-labelledby": labelId },
    h("span", { class: "label", id: labelId }, label), list, more, h("p", { class: "hint" }, hint), error);
  return {
    name,
    node,
    value: () => rows.map((row) => row.value()).filter((value) => value !== null),
    refuse(errors) {
      replace(error, errors.map((each) => h("p", {}, h("span", { class: "mono" }, each.field), " ", said(each))));
      return errors.length > 0 ? rows[0]?.first ?? more : null;
    },
  };
}

/** Rows of a name and a text, as an object. */
export function pairsField({ name, label, hint, add, values, keyLabel, valueLabel }) {
  const made = rowsField({
    name, label, hint, add,
    values: Object.entries(values),
    make(pair = ["", ""]) {
      const key = h("input", { class: "input mono", type: "text", "aria-label": keyLabel, placeholder: keyLabel, autocomplete: "off", spellcheck: "false" });
      const text = h("textarea", { class: "input", rows: 1, dir: "auto", "aria-label": valueLabel, placeholder: valueLabel, spellcheck: "false" });
      [key.value, text.value] = pair;
      return {
        node: h("div", { class: "pair" }, key, text),
        first: key,
        value: () => (key.value || text.value ? [key.value, text.value] : null),
      };
    },
  });
  return { ...made, value: () => Object.fromEntries(made.value()) };
}
