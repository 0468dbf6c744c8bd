// Asks for the administrator's key.

import * as api from "./api.js";
import { button, h } from "./dom.js";
import { run } from "./dialog.js";
import { icon } from "./icon.js";
import { callout, explainError } from "./say.js";

/** `entered(options)` is called when the server has accepted the key. */
export function signInView(entered, why = null) {
  const input = h("input", {
    type: "password", id: "admin-key", class: "input mono", autocomplete: "off", spellcheck: "false", "aria-describedby": "admin-key-hint",
  });
  const note = h("div", { class: "note", "aria-live": "polite" }, why ? callout("warning", h("p", {}, why)) : null);
  const go = button("Sign in", { class: "primary", type: "submit" });
  const without = button("Use this site’s session instead", { class: "link", on: { click: () => enter(without, null) } });

  async function enter(pressed, key) {
    api.signIn(key);
    await run(note, pressed, "Signing in…", async () => {
      const options = await api.options();
      input.value = "";
      entered(options);
    }, (error) => {
      api.signIn(null);
      input.focus();
      return callout("danger", h("p", {}, error.status === 401 ? "This key is not accepted." : explainError(error)));
    });
  }

  const node = h("section", { class: "sign-in panel" },
    h("div", { class: "sign-in-mark" }, icon("key")),
    h("h1", { tabindex: -1 }, "API Keys"),
    h("form", { class: "stack", on: { submit: (event) => { event.preventDefault(); enter(go, input.value.trim() || null); } } },
      h("div", { class: "field" },
        h("label", { class: "label", for: "admin-key" }, "Administrator’s key"),
        input,
        h("p", { class: "hint", id: "admin-key-hint" }, "It stays in this page’s memory, and is forgotten when you reload or leave.")),
      go, note, without));
  return { node, leave: () => {}, heading: "Sign in", focus: input };
}
