// Editing a key: only what was changed is sent, and only if nobody else changed it meanwhile.

import * as api from "./api.js";
import { button, h, replace } from "./dom.js";
import { keepEntries, noteBox, open, run } from "./dialog.js";
import { keyForm } from "./keyform.js";
import { callout, everywhere, toast } from "./say.js";

export async function edit(options, id, changed) {
  const body = h("div", { class: "stack" }, h("div", { class: "progress" }, h("progress", {}), "Loading the key…"));
  const note = noteBox();
  const go = button("Save changes", { class: "primary", type: "submit" });
  let form;
  let before;
  let revision;
  // Whether an attempt may have been saved unseen.
  let unsure = false;

  const shown = open({
    title: "Edit API key",
    wide: true,
    content: body,
    note,
    buttons: [button("Cancel", { on: { click: () => shown.close() } }), go],
    guard: keepEntries(note, () => form && Object.keys(difference(before, form.value())).length > 0, () => shown.close()),
    submit: save,
  });
  await load();

  async function load() {
    go.hidden = true;
    await run(note, go, "Loading the key…", async () => {
      const key = await api.get(id);
      form = keyForm(options, key);
      before = form.value();
      revision = key.revision;
      unsure = false;
      replace(body, h("p", { class: "muted" }, "The key ID ", h("code", { class: "mono" }, id), ", the owner, the environment and the secret can’t be edited."), form.node);
      go.hidden = false;
      form.node.querySelector("input").focus();
    });
  }

  async function save() {
    if (!form) return;
    const wanted = difference(before, form.value());
    if (Object.keys(wanted).length === 0) {
      shown.close();
      toast("Nothing was changed.");
      return;
    }
    let answer;
    const worked = await run(note, go, "Saving…", async () => {
      form.clear();
      answer = await api.edit(id, revision, wanted);
    }, refused);
    if (!worked) return;
    shown.close();
    toast("Saved.", everywhere(answer));
    changed();
  }

  function refused(error) {
    if (error.code === "VERSION_CONFLICT") {
      const reload = button("Load the current state", { on: { click: load } });
      const [who, what] = unsure
        ? ["This key was changed meanwhile: by your earlier try, or by somebody else. ", "The current state tells which. "]
        : ["Somebody else changed this key meanwhile. ", "Nothing of yours was saved. "];
      return callout("warning", h("p", {}, h("strong", {}, who), what, "Loading the current state replaces your entries."), reload);
    }
    if (error.unsure) {
      unsure = true;
      return null;
    }
    form.refuse(`${error.message}.`.replace(/[.!?]\.$/, "."), error.fields);
    return [];
  }
}

/** The fields that differ. Other kinds of resources replace all, so customers go with them. */
function difference(before, after) {
  const same = (name) => JSON.stringify(before[name]) === JSON.stringify(after[name]);
  const changed = Object.keys(after).filter((name) => !same(name));
  if (changed.includes("resources") && !changed.includes("customers")) changed.push("customers");
  return Object.fromEntries(changed.map((name) => [name, after[name]]));
}
