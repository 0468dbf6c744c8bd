// The few pictures, drawn by hand and hidden from screen readers.

import { svg } from "./dom.js";

const PATHS = {
  alert: ["M12 4 2.8 19.5h18.4z", "M12 10v4.5", "M12 17.2v.1"],
  back: ["m11 6-6 6 6 6", "M5 12h14"],
  check: ["m5 12.5 4.5 4.5L19 7.5"],
  copy: ["M9 9h10.5v10.5H9z", "M15 9V4.5H4.5V15H9"],
  cross: ["m6.5 6.5 11 11", "m17.5 6.5-11 11"],
  dash: ["M7 12h10"],
  key: ["M8 20.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9z", "m11.2 12.8 8.3-8.3", "m15.5 8.5 3 3"],
  more: ["M5.5 12v.1", "M12 12v.1", "M18.5 12v.1"],
  next: ["m9.5 6 6 6-6 6"],
  plus: ["M12 5.5v13", "M5.5 12h13"],
  previous: ["m14.5 6-6 6 6 6"],
  refresh: ["M19 12a7 7 0 1 1-2.05-4.95L19.5 9.5", "M19.5 5v4.5H15"],
  search: ["M11 17.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13z", "m16 16 4 4"],
};

export function icon(name) {
  const paths = PATHS[name].map((d) => svg("path", { d }));
  return svg("svg", { class: `icon icon-${name}`, viewBox: "0 0 24 24", "aria-hidden": "true" }, paths);
}
