// The form of a key: every option, for a new key and for an edit.

import { h, replace } from "./dom.js";
import { dateField } from "./date.js";
import { selectField, textField } from "./field.js";
import { plural, title } from "./format.js";
import { quotaField, rateLimitsField } from "./limits.js";
import { pairsField, rowsField } from "./rows.js";
import { callout } from "./say.js";
import { rolesField } from "./roles.js";
import { tagsField } from "./tags.js";

/**
 * `key` is the key to edit, or nothing for a new one. Answers `{ node, value(), refuse(fields) }`;
 * `value()` has the fields of `NewKey` or, if a key is edited, those of `KeyEdit`.
 */
export function keyForm(options, key = null) {
  const resources = { ...key?.resources };
  const customers = resources.customer ?? [];
  delete resources.customer;
  const place = key ? null : placeField(options);
  const owner = key || !ownersOf(options) ? null : ownerField(options.actor?.owner);

  const fields = {
    name: textField({ name: "name", label: "Key name", hint: "What uses it, and where: “Production server”, “Mobile app”.", value: key?.name ?? "", placeholder: "Asset Controls Backend", required: true }),
    ...(place ? { place } : {}),
    ...(owner ? { owner } : {}),
    roles: rolesField(options.roles ?? [], key?.roles ?? []),
    permissions: tagsField({ name: "permissions", label: "Permissions", hint: "The least it needs. Press Enter after each; “deployments:*” covers everything below. With neither role nor permission a key may do nothing.", placeholder: "read:assets", values: key?.permissions }),
    ip_allowlist: tagsField({ name: "ip_allowlist", label: "IP allowlist", hint: "Addresses or networks it may be used from. Empty: anywhere.", placeholder: "203.0.113.0/24", values: key?.ip_allowlist }),
    ip_denylist: tagsField({ name: "ip_denylist", label: "IP denylist", hint: "Addresses or networks it may not be used from. This wins over the allowlist.", placeholder: "198.51.100.50", values: key?.ip_denylist }),
    expires_at: dateField({ name: "expires_at", label: "Expires", hint: "From then on it stops working, and must be replaced.", value: key?.expires_at, never: "Never", presets: [["30 days", 30], ["90 days", 90], ["180 days", 180], ["1 year", 365]] }),
    not_before: dateField({ name: "not_before", label: "Works from", hint: "Before that it is refused.", value: key?.not_before, never: "At once" }),
    rate_limits: rateLimitsField(key?.rate_limits),
    quota: quotaField(key?.quota),
    customers: tagsField({ name: "customers", label: "Customers", hint: "The key works only for these. Empty: for all.", placeholder: "cust_123", values: customers }),
    resources: resourcesField(resources),
    metadata: pairsField({ name: "metadata", label: "Metadata", hint: "Your own notes, such as a ticket or a team. No secrets.", add: "Add an entry", values: key?.metadata ?? {}, keyLabel: "Name", valueLabel: "Text" }),
  };

  const sections = [
    section("Permissions", true, fields.roles, fields.permissions),
    section("Network", key?.ip_allowlist.length || key?.ip_denylist.length, fields.ip_allowlist, fields.ip_denylist),
    section("Validity", key?.expires_at || key?.not_before, fields.expires_at, fields.not_before),
    section("Rate limits and quota", key?.rate_limits.length || key?.quota, fields.rate_limits, fields.quota),
    section("Customers and resources", customers.length || Object.keys(resources).length, fields.customers, fields.resources),
    section("Metadata", key && Object.keys(key.metadata).length, fields.metadata),
  ];
  const summary = h("div", { class: "summary" });
  const node = h("div", { class: "key-form" }, summary, fields.name.node, place?.node, owner?.node, sections);

  function value() {
    const all = Object.entries(fields).map(([name, field]) => [name, field.value()]);
    const { place: where, owner: whose, ...rest } = Object.fromEntries(all);
    return { ...rest, ...where, ...(whose ? { owner: whose } : {}) };
  }

  /** Shows each error at its field, the rest on top; the first field gets the focus. */
  function refuse(message, errors) {
    const homes = new Map(Object.values(fields).map((field) => [field, []]));
    const homeless = [];
    for (const error of errors) homes.get(home(fields, error.field))?.push(error) ?? homeless.push(error);
    let first = null;
    for (const [field, own] of homes) {
      const focus = field.refuse(own);
      if (own.length > 0) field.node.closest("details")?.setAttribute("open", "");
      first ??= focus;
    }
    const count = errors.length > 0 ? `${plural(errors.length, "entry needs", "entries need")} another look.` : "";
    replace(summary, callout("danger", h("p", {}, h("strong", {}, message), " ", count),
      homeless.map((error) => h("p", {}, h("span", { class: "mono" }, error.field), ` ${error.rule}`))));
    (first ?? summary).scrollIntoView({ block: "center" });
    first?.focus();
  }

  return { node, value, refuse, clear: () => replace(summary) };
}

/** The field that an error is about: `ip_allowlist[0]` is about `ip_allowlist`. */
function home(fields, path) {
  const root = String(path).split(/[.[]/, 1)[0];
  const aliases = { environment: "place", prefix: "place", role: "roles", rate_limit: "rate_limits" };
  return fields[aliases[root] ?? root];
}

function section(label, open, ...fields) {
  return h("details", { class: "section", open: Boolean(open) },
    h("summary", {}, label), h("div", { class: "section-body" }, fields.map((field) => field.node)));
}

function placeField(options) {
  const prefixes = options.prefixes ?? [];
  const made = selectField({
    name: "environment",
    label: "Environment",
    hint: "A key works in its own environment only. This can’t be changed later.",
    choices: prefixes.map(({ prefix, environment }, at) => [String(at), `${title(environment)} — ${prefix}_…`]),
  });
  return {
    ...made,
    value: () => {
      const chosen = prefixes[Number(made.value())];
      return chosen ? { environment: chosen.environment, prefix: chosen.prefix } : {};
    },
  };
}

/** Whether keys of more than one owner can be managed. */
export const ownersOf = (options) => Boolean(options.actor?.all_owners);

const ownerField = (own) => textField({
  name: "owner",
  label: "Owner",
  hint: `The user or organisation whose key it is. ${own ? `Empty: ${own}. ` : ""}This can’t be changed later.`,
  placeholder: own ?? "org_1",
  mono: true,
});

function resourcesField(values) {
  const made = rowsField({
    name: "resources",
    label: "Other resources",
    hint: "Restricts the key to the named ones of a kind, such as sites.",
    add: "Add a kind of resource",
    values: Object.entries(values),
    make([kind, ids] = ["", []]) {
      const name = h("input", { type: "text", class: "input mono short", "aria-label": "Kind", placeholder: "site", autocomplete: "off", spellcheck: "false" });
      name.value = kind;
      const list = tagsField({ name: "ids", label: "Ids", hint: "", placeholder: "site_42", values: ids });
      return { node: h("div", { class: "pair" }, name, list.node), first: name, value: () => (name.value.trim() ? [name.value.trim(), list.value()] : null) };
    },
  });
  return { ...made, value: () => Object.fromEntries(made.value()) };
}
