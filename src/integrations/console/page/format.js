// Instants, numbers and limits as people read them.

import { h } from "./dom.js";

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const DATE_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const NUMBER = new Intl.NumberFormat();

export const number = (value) => NUMBER.format(value);
export const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;

const utc = (at) => `${at.toISOString().replace("T", " ").replace(/(\.000)?Z$/, "")} UTC`;

function time(text, shown, title) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return h("span", {}, text);
  return h("time", { datetime: text, title: title(at) }, shown(at));
}

/** The local date; hovering tells the time and UTC. */
export const date = (text) =>
  time(text, (at) => DATE.format(at), (at) => `${EXACT.format(at)} local, ${utc(at)}`);

/** The local date and time; hovering tells UTC. */
export const instant = (text) => time(text, (at) => DATE_TIME.format(at), utc);

/** How long ago, or in how long; hovering tells the instant. */
export const ago = (text) =>
  time(text, (at) => relative(at), (at) => `${EXACT.format(at)} local, ${utc(at)}`);

const UNITS = [
  ["year", 31_557_600], ["month", 2_629_800], ["day", 86_400], ["hour", 3_600], ["minute", 60],
];

function relative(at) {
  const seconds = Math.round((at.getTime() - Date.now()) / 1_000);
  const unit = UNITS.find(([, length]) => Math.abs(seconds) >= length);
  if (!unit) return seconds > 5 ? RELATIVE.format(seconds, "second") : "just now";
  return RELATIVE.format(Math.trunc(seconds / unit[1]), unit[0]);
}

export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

const two = (value) => String(value).padStart(2, "0");

/** An instant as the value of an `<input type="datetime-local">`. */
export function toLocalInput(text) {
  if (!text) return "";
  const at = new Date(text);
  const day = `${String(at.getFullYear()).padStart(4, "0")}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** The value of an `<input type="datetime-local">` as an instant; `null` if it is empty. */
export function fromLocalInput(value) {
  const at = new Date(value);
  return value && !Number.isNaN(at.getTime()) ? at.toISOString().replace(".000Z", "Z") : null;
}

export const PERIODS = [
  ["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000], ["second", 1_000], ["millisecond", 1],
];

/** A period as a count of the longest unit that divides it. */
export function period(ms) {
  const [unit, length] = PERIODS.find(([, each]) => ms % each === 0);
  return { count: ms / length, unit };
}

export function rate(limit) {
  const { count, unit } = period(limit.period_ms);
  return `${number(limit.count)} per ${count === 1 ? unit : plural(count, unit, `${unit}s`)}`;
}

const SHORT = { day: "day", hour: "h", minute: "min", second: "s", millisecond: "ms" };

/** The same, where there is little room. */
export function shortRate(limit) {
  const { count, unit } = period(limit.period_ms);
  return `${number(limit.count)}/${count === 1 ? "" : `${number(count)} `}${SHORT[unit]}`;
}

export const shortQuota = (rule) => `${number(rule.limit)}/${rule.refill}`;

export const quota = (rule) => `${number(rule.limit)} each ${rule.refill}`;

const NAMES = { owner_left: "Owner left", rotation_finished: "Rotation finished", not_before: "Not before" };

/** `api_name` as a word of the page. */
export function title(name) {
  const text = String(name ?? "");
  return NAMES[text] ?? (text.charAt(0).toUpperCase() + text.slice(1)).replaceAll("_", " ");
}
