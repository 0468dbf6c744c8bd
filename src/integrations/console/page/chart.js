// Uses over time: bars for eyes, a table for everybody.

import { h, replace, svg } from "./dom.js";
import { select } from "./field.js";
import { number, plural } from "./format.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const WIDTH = 720;
const HEIGHT = 160;
const LEFT = 44;
const BOTTOM = 22;
const TOP = 10;

/** `[value, label, bars, length of a bar]` */
const SPANS = [["day", "Last 24 hours", 24, HOUR], ["week", "Last 7 days", 168, HOUR], ["month", "Last 31 days", 31, DAY]];

/** `hours` are `{ hour, uses }`; hours without use may be left out. */
export function usageChart(hours) {
  const place = h("div", {});
  const span = select("span", SPANS.map(([value, label]) => [value, label]), "week", { "aria-label": "Time shown" });
  const draw = () => {
    const [, label, bars, length] = SPANS.find(([value]) => value === span.value);
    replace(place, picture(sums(hours, bars, length), length, label));
  };
  span.addEventListener("change", draw);
  draw();
  return h("div", { class: "usage" }, h("div", { class: "usage-head" }, span), place);
}

/** Uses per bar, oldest first; the last bar is the one that is running. */
export function sums(hours, bars, length, now = Date.now()) {
  const last = Math.floor(now / length) * length;
  const all = Array.from({ length: bars }, (_, at) => ({ at: last - (bars - 1 - at) * length, uses: 0 }));
  for (const { hour, uses } of hours) {
    const place = bars - 1 - Math.floor((last + length - 1 - new Date(hour).getTime()) / length);
    if (all[place]) all[place].uses += uses;
  }
  return all;
}

function picture(all, length, label) {
  const most = Math.max(...all.map((bar) => bar.uses));
  const total = all.reduce((sum, bar) => sum + bar.uses, 0);
  const top = ceiling(most);
  const wide = (WIDTH - LEFT) / all.length;
  const high = HEIGHT - BOTTOM - TOP;
  const name = namer(length);
  const y = (uses) => TOP + high * (1 - uses / top);

  const lines = [0, top / 2, top].filter(Number.isInteger).map((uses) => [
    svg("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y(uses), y2: y(uses) }),
    svg("text", { class: "axis", x: LEFT - 8, y: y(uses) + 4, "text-anchor": "end" }, short(uses)),
  ]);
  const bars = all.map(({ at, uses }, place) => (uses === 0 ? null : svg("rect", {
    class: "bar-use", x: LEFT + place * wide + wide * 0.12, width: wide * 0.76, y: y(uses), height: Math.max(1, TOP + high - y(uses)),
    rx: Math.min(2, wide * 0.2),
  }, svg("title", {}, `${name(at)}: ${plural(uses, "use", "uses")}`))));
  const step = Math.ceil(all.length / 7);
  const ticks = all.map(({ at }, place) => ((all.length - 1 - place) % step === 0 && place > 0
    ? svg("text", { class: "axis", x: LEFT + (place + 0.5) * wide, y: HEIGHT - 5, "text-anchor": place === all.length - 1 ? "end" : "middle" }, tick(at, length, all.length))
    : null));

  const told = `${label}: ${plural(total, "use", "uses")}, at most ${number(most)} in ${length === HOUR ? "an hour" : "a day"}.`;
  return [
    svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": told }, lines, bars, ticks),
    h("p", { class: "hint" }, told),
    h("details", { class: "as-table" }, h("summary", {}, "Show as a table"), table(all, name, label)),
  ];
}

function table(all, name, label) {
  const used = all.filter((bar) => bar.uses > 0).reverse();
  if (used.length === 0) return h("p", { class: "muted" }, "No use in this time.");
  return h("table", { class: "small-table" },
    h("caption", { class: "unseen" }, label),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), h("th", { scope: "col", class: "number" }, "Uses"))),
    h("tbody", {}, used.map(({ at, uses }) => h("tr", {}, h("td", {}, name(at)), h("td", { class: "number" }, number(uses))))));
}

/** The next number that is easy to read: 1, 2 or 5 and zeros. */
export function ceiling(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= most) ?? most;
}

const COMPACT = new Intl.NumberFormat(undefined, { notation: "compact" });
const short = (value) => COMPACT.format(value);

/** Days are those of UTC, as quotas count them; hours are shown in local time. */
function namer(length) {
  const format = length === HOUR
    ? new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit" })
    : new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
  return (at) => format.format(at);
}

function tick(at, length, bars) {
  const shown = length === HOUR && bars <= 24
    ? { hour: "numeric", minute: "2-digit" }
    : { day: "numeric", month: "short", ...(length === DAY ? { timeZone: "UTC" } : {}) };
  return new Intl.DateTimeFormat(undefined, shown).format(at);
}
