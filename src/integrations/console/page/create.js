// Creating a key, so that a repeat after a lost answer can't make a second one.

import * as api from "./api.js";
import { button, h, replace, words } from "./dom.js";
import { keepEntries, noteBox, open, run } from "./dialog.js";
import { holding } from "./hold.js";
import { keyForm } from "./keyform.js";
import { callout, explainError } from "./say.js";
import { showSecret } from "./secret.js";

export function create(options, changed) {
  const form = keyForm(options);
  const untouched = JSON.stringify(form.value());
  const note = noteBox();
  const go = button("Create", { class: "primary", type: "submit" });
  // Kept while an attempt may have succeeded unseen; after a clear refusal there is a new one.
  let repeat = api.repeatKey();

  const shown = open({
    title: "Create API key",
    wide: true,
    content: form.node,
    note,
    buttons: [button("Cancel", { on: { click: () => shown.close() } }), go],
    guard: keepEntries(note, () => !form.node.hidden && JSON.stringify(form.value()) !== untouched, () => shown.close()),
    submit: () => holding(async () => {
      let answer;
      const worked = await run(note, go, "Creating the key…", async () => {
        form.clear();
        answer = await api.create(form.value(), repeat);
      }, refused);
      if (worked) await handOver(answer);
    }),
  });
  form.node.querySelector("input").focus();

  async function handOver(answer) {
    shown.close();
    await showSecret("Your new API key", answer);
    changed();
  }

  function refused(error) {
    if (error.unsure) {
      replace(go, "Try again");
      return callout("warning", h("p", {}, h("strong", {}, explainError(error)), " The key may have been created or not. ",
        "Trying again is safe: with the same entries it can’t create a second one."));
    }
    if (error.code === "ALREADY_ISSUED" && error.details.key) return lost(error.details.key);
    if (error.code === "IDEMPOTENCY_MISMATCH") {
      repeat = api.repeatKey();
      changed();
      return callout("warning", h("p", {}, h("strong", {}, "An earlier attempt did create a key, with the entries as they were then. "),
        "Close this and look for it in the table, or press Create again for another key."));
    }
    repeat = api.repeatKey();
    replace(go, "Create");
    form.refuse(`${error.message}.`.replace(/[.!?]\.$/, "."), error.fields);
    return [];
  }

  /** The key is there, and its secret went with an answer that didn't arrive. */
  function lost(key) {
    changed();
    go.hidden = true;
    form.node.hidden = true;
    const where = h("div", { class: "note", "aria-live": "polite" });
    const again = button("Regenerate its secret", { class: "primary" });
    again.addEventListener("click", () => holding(async () => {
      let answer;
      const worked = await run(where, again, "Regenerating…", async () => {
        answer = await api.regenerate(key.id);
      });
      if (worked) await handOver(answer);
    }));
    return callout("warning", h("p", {}, h("strong", {}, "The key was created by an earlier attempt, but its secret was lost on the way. "),
      words(key.name), " (", h("code", { class: "mono" }, key.id), ") is there; regenerate its secret to get one you can copy."), again, where);
  }
}
