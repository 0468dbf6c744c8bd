// A key's status and permissions, at a glance.

import { h, words } from "./dom.js";
import { quota, rate, shortQuota, shortRate, title } from "./format.js";

export const status = (name) => h("span", { class: `badge ${/^[a-z]+$/.test(name) ? name : ""}` }, title(name));

/** Roles first, then permissions; beyond `most` only their number. */
export function access(key, most = 4) {
  const all = [
    ...key.roles.map((name) => h("li", { class: "chip role", title: `Role ${name}` }, words(name))),
    ...key.permissions.map((scope) => h("li", { class: "chip mono" }, words(scope))),
  ];
  if (all.length === 0) return h("span", { class: "muted" }, "None");
  const rest = all.length - most;
  const shown = rest > 1 ? all.slice(0, most) : all;
  const names = [...key.roles, ...key.permissions].slice(most).join(", ");
  return h("ul", { class: "chips" }, shown, rest > 1 ? h("li", { class: "chip more", title: names }, `+${rest} more`) : null);
}

/** Where there is little room, what a limit is in full is told by hovering. */
export function limits(key, { brief = false } = {}) {
  const all = [
    ...key.rate_limits.map((limit) => [brief ? shortRate(limit) : rate(limit), rate(limit)]),
    ...(key.quota ? [[brief ? shortQuota(key.quota) : quota(key.quota), quota(key.quota)]] : []),
  ];
  if (all.length === 0) return h("span", { class: "muted" }, "None");
  return h("ul", { class: "plain" }, all.map(([shown, full]) => h("li", { title: brief ? full : null }, shown)));
}

export const environment = (name) => (name ? title(name) : h("span", { class: "muted" }, "Unknown"));
