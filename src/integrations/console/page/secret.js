// The one time a secret is shown.

import { button, h, replace, words } from "./dom.js";
import { copyButton } from "./copy.js";
import { open } from "./dialog.js";
import { icon } from "./icon.js";
import { callout } from "./say.js";

/** Shows the token of `answer` until the person says that it is copied. */
export function showSecret(title, answer, note) {
  let token = answer.api_key;
  let sure = false;

  const box = h("output", { class: "secret mono", "aria-label": "The new API key", tabindex: 0 }, token);
  const id = h("code", { class: "mono" }, answer.id);
  const done = button("I have copied it", { class: "primary", type: "submit" });
  const asked = h("div", { class: "note dialog-note", role: "alert" });
  const leave = (event) => event.preventDefault();

  const shown = open({
    title,
    kind: "secret-dialog",
    content: [
      callout("warning", icon("alert"), h("p", {}, h("strong", {}, "This key is shown only once. "),
        "Copy it now and store it securely: in a secret manager, an environment variable or a password manager. It can’t be retrieved later.")),
      h("div", { class: "secret-line" }, box,
        copyButton("Copy key", () => token, { fallback: () => selectAll(box), copied: () => done.focus() })),
      h("dl", { class: "facts compact" },
        h("div", {}, h("dt", {}, "Name"), h("dd", {}, words(answer.name))),
        h("div", {}, h("dt", {}, "Key ID, for reference"), h("dd", { class: "with-button" }, id, copyButton("Copy key ID", () => answer.id, { small: true })))),
      note ? h("p", {}, note) : null,
      h("p", { class: "muted" }, "Never commit keys to version control or share them publicly."),
    ],
    note: asked,
    buttons: [done],
    guard: () => {
      if (sure) return true;
      const keep = button("Keep it open", { class: "primary", on: { click: () => { replace(asked); box.focus(); } } });
      const drop = button("Close without a copy", { class: "danger", on: { click: finish } });
      replace(asked, callout("danger", h("p", {}, h("strong", {}, "The key has not been confirmed as copied. "),
        "Once this is closed, nobody can show it again."), h("div", { class: "buttons" }, keep, drop)));
      keep.focus();
      return false;
    },
    submit: finish,
  });

  function finish() {
    sure = true;
    shown.close();
  }
  addEventListener("beforeunload", leave);
  box.focus();
  return shown.closed.then(() => {
    removeEventListener("beforeunload", leave);
    token = null;
    delete answer.api_key;
    replace(box);
  });
}

function selectAll(node) {
  getSelection().selectAllChildren(node);
}
