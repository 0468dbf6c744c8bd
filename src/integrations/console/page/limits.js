// Rate limits and the quota.

import { h } from "./dom.js";
import { field, numberInput, numberOf, select } from "./field.js";
import { PERIODS, period } from "./format.js";
import { rowsField } from "./rows.js";

const MODES = [
  ["local", "Counted in each process"],
  ["leased", "Shared, taken in batches"],
  ["strict", "Shared, one round trip each"],
];
const FAILURES = [["closed", "Refuse if it can’t be asked"], ["open", "Let through if it can’t be asked"]];

export function rateLimitsField(values) {
  return rowsField({
    name: "rate_limits",
    label: "Rate limits",
    hint: "Requests beyond a limit are answered with 429. Up to eight; without one the key is not limited.",
    add: "Add a rate limit",
    most: 8,
    values,
    make: rateRow,
  });
}

function rateRow(limit) {
  const every = limit ? period(limit.period_ms) : { count: 1, unit: "minute" };
  const count = numberInput("count", "Requests", limit?.count ?? 100);
  const each = numberInput("period", "Periods", every.count);
  const unit = select("unit", PERIODS.map(([name]) => [name, `${name}s`]), every.unit, { "aria-label": "Unit of the period" });
  const burst = numberInput("burst", "Burst: how many may come at once", limit?.burst, { placeholder: "same" });
  const name = nameInput(limit?.name ?? "", "minute");
  const rest = how(limit);
  return {
    first: count,
    node: h("div", { class: "limit" },
      h("div", { class: "line" }, count, h("span", {}, "requests per"), each, unit),
      h("div", { class: "line" }, labelled("Burst", burst), labelled("Name", name), rest.node)),
    value() {
      const unitMs = PERIODS.find(([known]) => known === unit.value)[1];
      const given = name.value.trim() || (numberOf(each) === 1 ? unit.value : `${each.value}-${unit.value}s`);
      return tidy({
        name: given, count: numberOf(count) ?? 0, period_ms: (numberOf(each) ?? 0) * unitMs, burst: numberOf(burst), ...rest.value(),
      });
    },
  };
}

export function quotaField(quota) {
  const refill = select("refill", [
    ["", "No quota"], ["hour", "each hour"], ["day", "each day"], ["week", "each week"], ["month", "each month"], ["year", "each year"],
  ], quota?.refill ?? "", { "aria-label": "Quota" });
  const limit = numberInput("limit", "Requests in all", quota?.limit, { max: 1_099_511_627_775, placeholder: "10000" });
  const name = nameInput(quota?.name ?? "", "quota");
  const rest = how(quota);
  const more = h("div", { class: "limit" },
    h("div", { class: "line" }, labelled("Requests in all", limit), labelled("Name", name), rest.node));
  const control = h("div", { class: "stack" }, refill, more);
  const show = () => {
    more.hidden = refill.value === "";
  };
  refill.addEventListener("change", show);
  show();
  const made = field({
    name: "quota", label: "Quota", plain: true, control,
    hint: "How much the key may use in a period of the UTC calendar.",
    value: () => (refill.value
      ? tidy({ name: name.value.trim() || "quota", limit: numberOf(limit) ?? 0, refill: refill.value, ...rest.value() })
      : null),
  });
  return { ...made, refuse: (errors) => made.refuse(errors) && refill };
}

function how(limit) {
  const mode = select("mode", MODES, limit?.mode ?? "local", { "aria-label": "Where it is counted" });
  const failure = select("on_failure", FAILURES, limit?.on_failure ?? "closed", { "aria-label": "If the limit can’t be asked" });
  const show = () => {
    failure.hidden = mode.value === "local";
  };
  mode.addEventListener("change", show);
  show();
  return { node: [mode, failure], value: () => ({ mode: mode.value, on_failure: failure.value }) };
}

/** Without the fields that say what is meant anyway. */
function tidy({ mode, on_failure: failure, burst, ...rest }) {
  return {
    ...rest,
    ...(burst ? { burst } : {}),
    ...(mode === "local" ? {} : { mode }),
    ...(failure === "closed" ? {} : { on_failure: failure }),
  };
}

function nameInput(value, placeholder) {
  const control = h("input", { type: "text", class: "input mono short", "aria-label": "Name of the limit", placeholder, autocomplete: "off", spellcheck: "false" });
  control.value = value;
  return control;
}

const labelled = (text, control) => h("label", { class: "inline" }, text, control);
