// An instant that may be absent, entered in local time.

import { button, h, replace } from "./dom.js";
import { field } from "./field.js";
import { fromLocalInput, toLocalInput, zone } from "./format.js";

const DAY = 86_400_000;

/** `never` names the absence; `presets` are `[label, days]`. */
export function dateField({ name, label, hint, value, never, presets = [] }) {
  const control = h("input", { type: "datetime-local", class: "input", name, step: 1 });
  control.value = toLocalInput(value);
  const echo = h("span", { class: "echo", "aria-live": "polite" });
  const show = () => {
    const at = fromLocalInput(control.value);
    replace(echo, at ? ["In UTC: ", h("span", { class: "mono" }, at)] : never);
  };
  const set = (text) => {
    control.value = text;
    control.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const quick = [[never, null], ...presets].map(([text, days]) => button(text, {
    class: "small",
    on: { click: () => set(days ? toLocalInput(new Date(Date.now() + days * DAY).toISOString()) : "") },
  }));
  control.addEventListener("input", show);
  show();
  const made = field({
    name, label: `${label} (${zone()})`, hint: [hint, " ", echo], control, value: () => fromLocalInput(control.value),
  });
  control.after(h("div", { class: "quick", role: "group", "aria-label": `${label}: choices` }, quick));
  return made;
}

