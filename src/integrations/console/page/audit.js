// Who did what to a key, newest first.

import * as api from "./api.js";
import { button, h, words } from "./dom.js";
import { instant, title } from "./format.js";
import { failed } from "./say.js";

export function auditTrail(id, signal) {
  const list = h("ol", { class: "trail" });
  const note = h("div", { class: "note" });
  const more = button("Show older entries", { class: "small", hidden: true, on: { click: () => load() } });
  let cursor = null;

  async function load() {
    more.hidden = true;
    note.replaceChildren(h("div", { class: "progress", role: "status" }, h("progress", {}), "Loading…"));
    try {
      const page = await api.events(id, cursor, signal);
      list.append(...page.data.map(entry));
      cursor = page.next ?? null;
      more.hidden = !cursor;
      note.replaceChildren();
    } catch (error) {
      if (!signal.aborted) note.replaceChildren(failed(error, load));
    }
  }
  load();
  return h("div", {}, list, note, more);
}

function entry(event) {
  const details = Object.entries(event.details ?? {});
  return h("li", { class: `event ${/^[a-z_]+$/.test(event.action) ? event.action : ""}` },
    h("p", {}, h("strong", {}, title(event.action)), " by ", words(event.actor), h("span", { class: "muted" }, " · ", instant(event.at))),
    details.length > 0
      ? h("dl", { class: "inline-facts" }, details.map(([name, value]) => h("div", {}, h("dt", {}, title(name)), h("dd", {}, words(value)))))
      : null);
}
