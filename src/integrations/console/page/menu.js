// A button that opens a short list of actions. Escape and a click elsewhere close it.

import { button, h, unique } from "./dom.js";
import { icon } from "./icon.js";

/** `actions` are `[label, name, run]`; `about` completes the button's name for screen readers. */
export function menu(actions, about, focusKey) {
  const id = unique("menu");
  const opener = button("", {
    class: "quiet square small", "aria-label": `More actions for ${about}`, title: "More actions", popovertarget: id,
    "aria-haspopup": "true", "aria-expanded": "false", "data-focus": focusKey,
  }, icon("more"));
  const list = h("div", { class: "menu", id, popover: "auto", "aria-label": `Actions for ${about}`, role: "group" },
    actions.map(([label, name, run]) => h("button", {
      type: "button", class: name === "revoke" ? "menu-item danger" : "menu-item", "data-action": name,
      on: {
        click: () => {
          list.hidePopover();
          opener.focus();
          run();
        },
      },
    }, label)));

  list.addEventListener("beforetoggle", (event) => event.newState === "open" && place());
  list.addEventListener("toggle", (event) => {
    opener.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState === "open") {
      place();
      list.querySelector("button").focus();
    }
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const items = [...list.querySelectorAll("button")];
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
  });

  /** Below the button, or above it where there is no room below. */
  function place() {
    const at = opener.getBoundingClientRect();
    const { offsetHeight: height, offsetWidth: width } = list;
    const below = at.bottom + 4 + height < innerHeight || at.top < height;
    list.style.top = `${below ? at.bottom + 4 : at.top - 4 - height}px`;
    list.style.left = `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`;
  }
  return [opener, list];
}
