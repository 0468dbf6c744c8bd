// A key's own view: what it is, its secrets, its use, its history, and the decision tester.

import * as api from "./api.js";
import { actionsOf, finish } from "./actions.js";
import { auditTrail } from "./audit.js";
import { access, environment, limits, status } from "./badge.js";
import { usageChart } from "./chart.js";
import { copyButton } from "./copy.js";
import { button, h, replace, words } from "./dom.js";
import { decisionTester } from "./explain.js";
import { ago, instant, number, title } from "./format.js";
import { icon } from "./icon.js";
import { rotationLine } from "./rotation.js";
import { failed } from "./say.js";

export function detailView(id, options) {
  const left = new AbortController();
  const node = h("article", { class: "key", "aria-busy": "true" }, h("div", { class: "progress", role: "status" }, h("progress", {}), "Loading the key…"));

  async function load() {
    try {
      const key = await api.get(id, left.signal);
      if (left.signal.aborted) return;
      const focused = node.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
      show(key);
      document.title = `${key.name} – API Keys`;
      if (focused) (node.querySelector(`[data-focus="${CSS.escape(focused)}"]`) ?? node.querySelector("h1")).focus();
    } catch (error) {
      if (!left.signal.aborted) replace(node, back(), h("h1", { tabindex: -1 }, "Key"), failed(error, load));
    } finally {
      node.removeAttribute("aria-busy");
    }
  }

  function show(key) {
    const actions = actionsOf(key, options, load).filter(([, name]) => name !== "finish").map(([label, name, run]) => button(label, {
      class: name === "revoke" ? "danger-line" : "", "data-action": name, "data-focus": `${key.id}:${name}`, on: { click: run },
    }));
    const rotation = rotationLine(key);
    rotation?.append(button("Finish rotation…", { class: "small", on: { click: () => finish(key, load) } }));
    replace(node,
      back(),
      h("div", { class: "page-head" },
        h("div", {},
          h("h1", { tabindex: -1 }, words(key.name), " ", status(key.status)),
          h("p", { class: "with-button" }, h("code", { class: "mono" }, key.id), copyButton("Copy key ID", () => key.id, { small: true }))),
        h("div", { class: "buttons" }, actions)),
      rotation,
      h("div", { class: "columns" },
        h("div", { class: "column" },
          panel("Usage", usage()),
          panel("Decision tester", h("p", { class: "hint" }, "What would become of a request with this key, and which rule decides. Nothing is counted."), decisionTester(key, options)),
          panel("Audit trail", auditTrail(key.id, left.signal))),
        h("div", { class: "column side" }, panel("Settings", settings(key)), panel("Secrets", secrets(key)))));
  }

  function usage() {
    const place = h("div", {}, h("div", { class: "progress", role: "status" }, h("progress", {}), "Loading…"));
    const fetchUsage = async () => {
      try {
        const used = await api.usage(id, left.signal);
        replace(place,
          h("p", { class: "figures" }, h("span", {}, h("strong", {}, number(used.uses)), used.uses === 1 ? " use in all" : " uses in all"),
            h("span", { class: "muted" }, used.last_used_at ? ["last used ", ago(used.last_used_at), used.last_address ? [" from ", h("code", { class: "mono" }, used.last_address)] : null] : "never used")),
          usageChart(used.hours ?? []));
      } catch (error) {
        if (!left.signal.aborted) replace(place, failed(error, fetchUsage));
      }
    };
    fetchUsage();
    return place;
  }

  load();
  return { node, leave: () => left.abort(), heading: "Key" };
}

const back = () => h("a", { class: "back", href: "#/keys" }, icon("back"), "All keys");

const panel = (heading, ...content) => h("section", { class: "panel pad" }, h("h2", {}, heading), ...content);

const never = (text) => h("span", { class: "muted" }, text);

function settings(key) {
  const facts = [
    ["Prefix", h("code", { class: "mono" }, key.prefix ? `${key.prefix}…` : "unknown")],
    ["Environment", environment(key.environment)],
    ["Owner", words(key.owner)],
    ["Role and permissions", access(key, 50)],
    ["IP allowlist", texts(key.ip_allowlist, "Any address")],
    ["IP denylist", texts(key.ip_denylist, "None")],
    ["Rate limits and quota", limits(key)],
    ...Object.entries(key.resources).map(([kind, ids]) => [kind === "customer" ? "Customers" : words(`${title(kind)}`), texts(ids, "None")]),
    ["Created", [instant(key.created_at), " by ", words(key.created_by || "unknown")]],
    ["Works from", key.not_before ? instant(key.not_before) : never("At once")],
    ["Expires", key.expires_at ? instant(key.expires_at) : never("Never")],
    key.rotated_at && ["Last rotated", instant(key.rotated_at)],
    key.revoked_at && ["Revoked", [instant(key.revoked_at), " — ", title(key.revoked_reason)]],
    ...Object.entries(key.metadata).map(([name, text]) => [words(name), words(text, { class: "metadata" })]),
    ["Revision", number(key.revision)],
  ];
  return h("dl", { class: "facts" }, facts.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function texts(all, none) {
  if (all.length === 0) return never(none);
  return h("ul", { class: "plain mono" }, all.map((text) => h("li", {}, words(text))));
}

function secrets(key) {
  if (key.secrets.length === 0) return never("Unknown");
  return h("ul", { class: "plain secrets" }, key.secrets.map((secret) => h("li", {},
    h("p", {}, h("strong", {}, secret.current ? "Current secret" : "Old secret"),
      secret.valid_until ? [new Date(secret.valid_until) > new Date() ? ", until " : ", stopped ", instant(secret.valid_until)] : null),
    h("p", { class: "muted" }, "Issued ", instant(secret.issued_at), " · ", secret.last_used_at ? ["last used ", ago(secret.last_used_at)] : "never used"))));
}
