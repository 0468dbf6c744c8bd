// Keys as a table: rows of cells, or cards on a phone.

import { actionsOf } from "./actions.js";
import { access, environment, limits, status } from "./badge.js";
import { button, h, unseen, words } from "./dom.js";
import { ago, date } from "./format.js";
import { icon } from "./icon.js";
import { menu } from "./menu.js";
import { oldSecret } from "./rotation.js";

const muted = (text) => h("span", { class: "muted" }, text);

/** `[heading, class, cell]`, in the order of the columns. */
const COLUMNS = [
  ["Name", "name", (key, shown) => [
    h("a", { href: `#/keys/${encodeURIComponent(key.id)}`, class: "key-name", "data-focus": `${key.id}:name` }, words(key.name)),
    shown.owners ? h("span", { class: "under" }, unseen("Owner: "), words(key.owner)) : null,
    oldSecret(key) ? h("span", { class: "under rotating" }, icon("refresh"), "Rotation running") : null,
  ]],
  ["Key ID and prefix", "id", (key) => [
    h("code", { class: "mono" }, key.id),
    h("span", { class: "under mono" }, unseen("Prefix: "), key.prefix ? `${key.prefix}…` : "unknown"),
  ]],
  ["Environment", "environment", (key) => environment(key.environment)],
  ["Role and permissions", "access", (key) => access(key, 3)],
  ["Rate limits", "limits", (key) => limits(key, { brief: true })],
  ["Status", "status", (key) => status(key.status)],
  ["Created", "when", (key) => date(key.created_at)],
  ["Last used", "when", (key) => (key.last_used_at ? ago(key.last_used_at) : muted("Never"))],
  ["Expires", "when", (key) => (key.expires_at ? date(key.expires_at) : muted("Never"))],
];

/** A table with a row for each key. `shown.owners` tells whose each is. */
export function keyTable(keys, caption, options, shown, changed) {
  const headings = [...COLUMNS.map(([heading]) => heading), "Actions"];
  const head = h("tr", { role: "row" }, headings.map((heading) => h("th", { role: "columnheader", scope: "col" }, heading)));
  return h("table", { class: "keys", role: "table" },
    h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" }, head),
    h("tbody", { role: "rowgroup" }, keys.map((key) => row(key, options, shown, changed))));
}

function row(key, options, shown, changed) {
  return h("tr", { role: "row", "data-key": key.id, class: key.status === "revoked" ? "gone" : null },
    COLUMNS.map(([heading, kind, cell]) => h("td", { role: "cell", class: `cell-${kind}`, "data-label": heading }, cell(key, shown))),
    h("td", { role: "cell", class: "cell-actions", "data-label": "Actions" }, actions(key, options, changed)));
}

/** Edit and Revoke are in sight, as people look for them; the rest is one press away. */
function actions(key, options, changed) {
  const all = actionsOf(key, options, changed);
  const inSight = all.filter(([, name]) => name === "edit" || name === "revoke");
  const rest = all.filter(([, name]) => name !== "edit" && name !== "revoke");
  return h("div", { class: "actions" },
    inSight.map(([label, name, run]) => button(label.replace("…", ""), {
      class: name === "revoke" ? "small quiet danger" : "small quiet", "data-action": name, "data-focus": `${key.id}:${name}`,
      "aria-label": `${label.replace("…", "")} ${key.name}`, on: { click: run },
    })),
    rest.length > 0 ? menu(rest, key.name, `${key.id}:more`) : null);
}
