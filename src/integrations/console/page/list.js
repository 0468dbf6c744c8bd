// The list of keys: filters, pages by cursor, refresh.

import * as api from "./api.js";
import { create } from "./create.js";
import { button, h, replace } from "./dom.js";
import { checkbox, select } from "./field.js";
import { number, title } from "./format.js";
import { icon } from "./icon.js";
import { failed, say } from "./say.js";
import { keyTable } from "./table.js";
import { ownersOf } from "./keyform.js";

const STATUSES = ["active", "inactive", "scheduled", "expired", "revoked", "unreadable"];
const TYPING = 300;

/** What is filtered for, and where in the pages one is; kept while another view is open. */
const place = { search: "", status: "", environment: "", owner: "", revoked: false, limit: "25", pages: [{ cursor: null, before: 0 }] };

export function listView(options) {
  let running = null;
  let next = null;
  let timer = null;
  const mayCreate = options.actor?.permissions?.includes("api.key.create") ?? true;

  const search = input("search", "Search by name or key ID", place.search);
  const owner = ownersOf(options) ? input("owner", "Owner", place.owner) : null;
  const environments = [...new Set((options.prefixes ?? []).map((each) => each.environment))];
  const status = select("status", [["", "Any status"], ...STATUSES.map((name) => [name, title(name)])], place.status, { "aria-label": "Status" });
  const environment = select("environment", [["", "Any environment"], ...environments.map((name) => [name, title(name)])], place.environment, { "aria-label": "Environment" });
  const revoked = checkbox("Show revoked", place.revoked, { name: "revoked" });
  const size = select("limit", ["10", "25", "50", "100"].map((count) => [count, `${count} per page`]), place.limit, { "aria-label": "Keys per page" });

  const results = h("div", { class: "results", role: "region", "aria-label": "API keys", tabindex: 0 });
  const range = h("p", { class: "range" });
  const previous = button("Previous", { name: "previous", on: { click: () => step(-1) } }, icon("previous"));
  const following = button("Next", { class: "after", name: "next", on: { click: () => step(1) } }, icon("next"));
  const bar = h("div", { class: "loading", hidden: true });

  const node = h("section", { "aria-labelledby": "keys-title" },
    h("div", { class: "page-head" },
      h("div", {}, h("h1", { id: "keys-title", tabindex: -1 }, "API Keys"),
        h("p", { class: "lead" }, "The credentials that applications, scripts and integrations use.")),
      mayCreate ? button("Create new key", { class: "primary", id: "create", "data-focus": "create", on: { click: () => create(options, load) } }, icon("plus")) : null),
    h("form", { class: "filters", role: "search", "aria-label": "Filter the keys", on: { submit: (event) => { event.preventDefault(); refilter(); } } },
      h("div", { class: "search" }, icon("search"), search), owner, environment, status, revoked.node,
      button("Refresh", { class: "quiet refresh", on: { click: load } }, icon("refresh"))),
    h("div", { class: "panel" }, bar, results,
      h("div", { class: "pager", role: "group", "aria-label": "Pages" }, range, size, h("div", { class: "steps" }, previous, following))));

  for (const control of [search, owner]) {
    control?.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(refilter, TYPING);
    });
  }
  for (const control of [environment, status, size, revoked.control]) control.addEventListener("change", refilter);

  function refilter() {
    clearTimeout(timer);
    Object.assign(place, {
      search: search.value.trim(), owner: owner?.value.trim() ?? "", environment: environment.value, status: status.value,
      revoked: revoked.control.checked, limit: size.value, pages: [{ cursor: null, before: 0 }],
    });
    load();
  }

  function step(by) {
    if (by > 0 && next) place.pages.push(next);
    else if (by < 0 && place.pages.length > 1) place.pages.pop();
    else return;
    load().then(() => results.scrollIntoView({ block: "nearest" }));
  }

  async function load() {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    results.setAttribute("aria-busy", "true");
    bar.hidden = false;
    try {
      const page = await api.list({
        search: place.search, status: place.status, environment: place.environment, owner: place.owner,
        include_revoked: place.revoked || place.status === "revoked", limit: place.limit, cursor: place.pages.at(-1).cursor,
      }, mine.signal);
      if (running === mine) show(page);
    } catch (error) {
      if (running === mine && !mine.signal.aborted) replace(results, failed(error, load));
    } finally {
      if (running === mine) {
        results.removeAttribute("aria-busy");
        bar.hidden = true;
      }
    }
  }

  function show(page) {
    const { before } = place.pages.at(-1);
    const last = before + page.data.length;
    next = page.next ? { cursor: page.next, before: last } : null;
    const text = page.data.length > 0 ? `${number(before + 1)}–${number(last)}, page ${number(place.pages.length)}` : "No keys";
    replace(range, text);
    say(page.data.length > 0 ? `Keys ${text}` : "No keys found");
    previous.disabled = place.pages.length === 1;
    following.disabled = !next;
    const focused = focusIn(results);
    replace(results, page.data.length > 0
      ? keyTable(page.data, "API keys, newest first", options, { owners: ownersOf(options) }, load)
      : empty());
    if (focused !== null) (results.querySelector(`[data-focus="${CSS.escape(focused)}"]`) ?? results).focus();
  }

  function empty() {
    // A search reads so many keys at a time; the rest is read when it is asked for.
    if (next) return blank("search", "No match so far", "There are more keys to look through.", button("Search on", { on: { click: () => step(1) } }));
    const filtered = place.search || place.status || place.environment || place.owner;
    const { before } = place.pages.at(-1);
    // A full page may be the last: that nothing follows is known when it is asked for.
    if (before > 0) return blank("key", "No more keys", "The page before was the last one.", button("Back", { on: { click: () => step(-1) } }));
    if (filtered) return blank("key", "No key matches", "Change the filters to see others.", button("Clear the filters", { on: { click: clear } }));
    return blank("key", "No keys yet", "Create the first one for your application.", null);
  }

  function clear() {
    for (const control of [search, owner, environment, status]) if (control) control.value = "";
    revoked.control.checked = false;
    refilter();
    search.focus();
  }

  load();
  return { node, leave: () => running?.abort(), heading: "API Keys" };
}

/** The name of what has the focus in a table that will be replaced; an open menu's is its button's. */
function focusIn(results) {
  const active = document.activeElement;
  if (!results.contains(active)) return null;
  return active.dataset.focus ?? (active.closest(".menu") ? `${active.closest("[data-key]").dataset.key}:more` : "");
}

function blank(picture, heading, text, action) {
  return h("div", { class: "empty" }, icon(picture), h("h2", {}, heading), h("p", { class: "muted" }, text), action);
}

function input(name, label, value) {
  const control = h("input", { type: "search", name, class: "input", "aria-label": label, placeholder: label, autocomplete: "off", spellcheck: "false" });
  control.value = value;
  return control;
}
