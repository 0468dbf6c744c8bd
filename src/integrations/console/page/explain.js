// The decision tester: what would become of a request, and which rule decides.

import * as api from "./api.js";
import { button, h, replace, words } from "./dom.js";
import { run } from "./dialog.js";
import { dateField } from "./date.js";
import { field, numberInput, numberOf, said, selectField, textField } from "./field.js";
import { instant, title } from "./format.js";
import { icon } from "./icon.js";
import { pairsField } from "./rows.js";
import { callout, explainError } from "./say.js";
import { tagsField } from "./tags.js";

const OUTCOMES = { passed: ["check", "Passed"], failed: ["cross", "Refused"], not_reached: ["dash", "Not reached"] };

export function decisionTester(key, options) {
  const environments = [...new Set([key.environment, ...(options.prefixes ?? []).map((each) => each.environment)])].filter(Boolean);
  const cost = numberInput("cost", "Cost", 1);
  const fields = [
    selectField({ name: "environment", label: "Environment", hint: "Where the request arrives.", choices: environments.map((name) => [name, title(name)]), value: key.environment }),
    textField({ name: "client_ip", label: "Client address", hint: "Empty: unknown.", placeholder: "203.0.113.50", mono: true }),
    tagsField({ name: "scopes", label: "Required permissions", hint: "What the operation asks for.", placeholder: "read:assets" }),
    pairsField({ name: "resources", label: "Resources", hint: "What the request touches.", add: "Add a resource", values: {}, keyLabel: "Kind", valueLabel: "Id" }),
    field({ name: "cost", label: "Cost", hint: "Units it takes of each limit.", control: cost, value: () => numberOf(cost) }),
    dateField({ name: "at", label: "At", hint: "When it arrives.", never: "Now" }),
  ];
  const note = h("div", { class: "note", "aria-live": "polite" });
  const result = h("div", { "aria-live": "polite" });
  const go = button("Test", { class: "primary", type: "submit" });

  async function test(event) {
    event.preventDefault();
    replace(result);
    for (const each of fields) each.refuse([]);
    await run(note, go, "Deciding…", async () => replace(result, verdict(await api.explain(key.id, request()))), refused);
  }

  /** Without the entries that were left empty. */
  function request() {
    const all = fields.map((each) => [each.name, each.name === "resources" ? grouped(each.value()) : each.value()]);
    return Object.fromEntries(all.filter(([, value]) => value !== null && value !== "" && Object.keys(Object(value)).length + Number(typeof value !== "object") > 0));
  }

  function refused(error) {
    const rest = error.fields?.filter((each) => {
      const home = fields.find(({ name }) => each.field.split(/[.[]/, 1)[0] === name);
      home?.refuse([each]);
      return !home;
    });
    return callout("danger", h("p", {}, explainError(error)), (rest ?? []).map((each) => h("p", {}, each.field, ": ", said(each))));
  }

  return h("div", { class: "tester" },
    h("form", { class: "tester-form", novalidate: true, on: { submit: test } }, fields.map((each) => each.node), h("div", { class: "buttons" }, go), note),
    result);
}

const grouped = (pairs) => Object.fromEntries(Object.entries(pairs).map(([kind, ids]) => [kind, ids.split(/[\s,]+/).filter(Boolean)]));

function verdict(trace) {
  const steps = trace.steps.map((step) => {
    const [picture, word] = OUTCOMES[step.outcome] ?? ["dash", title(step.outcome)];
    return h("li", { class: `step ${picture}` }, icon(picture),
      h("span", { class: "step-name" }, title(step.check)),
      h("span", { class: "step-word" }, word),
      h("span", { class: "step-rule" }, step.rule ? words(step.rule) : null));
  });
  return h("div", { class: "verdict" },
    h("p", { class: trace.allowed ? "allowed" : "denied" }, icon(trace.allowed ? "check" : "cross"),
      h("strong", {}, trace.allowed ? "Would be allowed" : "Would be refused"), h("span", { class: "muted" }, " at ", instant(trace.at))),
    h("ol", { class: "steps-list" }, steps));
}
