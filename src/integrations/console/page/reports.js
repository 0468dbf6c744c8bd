// Keys that want attention.

import * as api from "./api.js";
import { h, replace, words } from "./dom.js";
import { status } from "./badge.js";
import { ago, date, instant, number } from "./format.js";
import { failed } from "./say.js";

/** `[field, heading, meaning, heading of the telling column, its cell]` */
const KEYS = [
  ["rotation_due", "Rotation due", "Their secret is older than it should get: rotate them.", "Secret since", (key) => ago(key.secrets[0]?.issued_at ?? key.created_at)],
  ["unused", "Unused", "Nobody has used them for long: revoke what is no longer needed.", "Last used", (key) => (key.last_used_at ? ago(key.last_used_at) : "Never")],
  ["expiring", "Expiring soon", "They will stop working: replace them, or move their expiry.", "Expires", (key) => date(key.expires_at)],
];
const IDS = [
  ["bad_seals", "Broken seals", "Their record was changed in the database: find out how, and revoke them.", "danger"],
  ["unreadable", "Unreadable", "Their record can’t be read, or its pepper is missing.", "warning"],
  ["old_pepper", "On an old pepper", "Rotate or maintain them before that pepper is removed.", "info"],
];
const MOST = 200;

export function reportsView() {
  const left = new AbortController();
  const place = h("div", { class: "stack" });
  const node = h("section", {},
    h("div", { class: "page-head" }, h("div", {}, h("h1", { tabindex: -1 }, "Reports"), h("p", { class: "lead" }, "Keys that want attention."))), place);

  async function load() {
    replace(place, h("div", { class: "progress", role: "status" }, h("progress", {}), "Reading every key…"));
    try {
      show(await api.reports(left.signal));
    } catch (error) {
      if (!left.signal.aborted) replace(place, failed(error, load));
    }
  }

  function show(found) {
    replace(place,
      found.at ? h("p", { class: "muted" }, "As of ", instant(found.at), ".") : null,
      KEYS.map(([field, heading, meaning, column, cell]) => section(heading, found[field] ?? [], meaning, (keys) => table(keys, heading, column, cell))),
      IDS.map(([field, heading, meaning, kind]) => section(heading, found[field] ?? [], meaning,
        (ids) => h("ul", { class: "plain id-list" }, ids.map((id) => h("li", {}, link(id, h("code", { class: "mono" }, id))))), kind)));
  }

  load();
  return { node, leave: () => left.abort(), heading: "Reports" };
}

function section(heading, found, meaning, content, kind = "") {
  const count = h("span", { class: found.length > 0 ? `count ${kind}` : "count none" }, number(found.length));
  return h("section", { class: "panel pad report" }, h("h2", {}, heading, " ", count),
    h("p", { class: "hint" }, found.length > 0 ? meaning : "None."),
    found.length > 0 ? h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": heading }, content(found.slice(0, MOST))) : null,
    found.length > MOST ? h("p", { class: "hint" }, `The first ${number(MOST)} are shown.`) : null);
}

const link = (id, content) => h("a", { href: `#/keys/${encodeURIComponent(id)}` }, content);

function table(keys, caption, column, cell) {
  return h("table", { class: "small-table" }, h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, ["Name", "Key ID", "Status", column].map((heading) => h("th", { scope: "col" }, heading)))),
    h("tbody", {}, keys.map((key) => h("tr", {}, h("td", {}, link(key.id, words(key.name))), h("td", {}, h("code", { class: "mono" }, key.id)),
      h("td", {}, status(key.status)), h("td", {}, cell(key))))));
}
