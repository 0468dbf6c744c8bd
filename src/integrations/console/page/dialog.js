// One kind of dialog: a title, content, and buttons. Focus goes back to where it was.

import { button, h, replace, unique } from "./dom.js";
import { holding } from "./hold.js";
import { icon } from "./icon.js";
import { callout, explainError } from "./say.js";

/** What is open, the topmost last. */
const opened = new Set();

/**
 * Opens a dialog. `close` may be kept from closing by `guard`, which answers whether it may.
 * `note` is a place for what is said of the attempt: it stays in sight.
 * Answers `{ dialog, close, closed }`; `closed` is fulfilled when it is gone.
 */
export function open({ title, content, buttons, note = null, wide = false, kind = "", guard = null, submit = null }) {
  const id = unique("title");
  const before = document.activeElement;
  const focusKey = before?.dataset?.focus;
  let leaving = false;

  const dismiss = button("", { class: "quiet square", "aria-label": "Close", on: { click: () => ask() } }, icon("cross"));
  const frame = h("form", { class: "frame", novalidate: true },
    h("header", { class: "dialog-head" }, h("h2", { id }, title), dismiss),
    h("div", { class: "dialog-body" }, content),
    note,
    h("footer", { class: "dialog-foot" }, buttons));
  const dialog = h("dialog", { class: `dialog ${wide ? "wide" : ""} ${kind}`, "aria-labelledby": id }, frame);

  function close() {
    leaving = true;
    dialog.close();
    gone();
  }
  function mayClose() {
    return leaving || !guard || guard();
  }
  function ask() {
    if (mayClose()) close();
  }
  // At once, not at the `close` event: that comes when something else may have the focus.
  function gone() {
    if (!opened.delete(one)) return;
    dialog.remove();
    giveBack(before, focusKey);
    settle();
  }

  frame.addEventListener("submit", (event) => {
    event.preventDefault();
    submit?.();
  });
  // Without the key's own handling, a browser may close on a second Escape unasked.
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented) {
      event.preventDefault();
      ask();
    }
  });
  dialog.addEventListener("cancel", (event) => {
    if (event.target === dialog) {
      event.preventDefault();
      ask();
    }
  });
  dialog.addEventListener("close", () => {
    if (!opened.has(one)) return;
    if (mayClose()) gone();
    else dialog.showModal();
  });

  let settle;
  const closed = new Promise((done) => {
    settle = done;
  });
  const one = { close, mayClose };
  opened.add(one);
  document.body.append(dialog);
  dialog.showModal();
  return { dialog, frame, close, closed };
}

function giveBack(before, focusKey) {
  if (document.querySelector("dialog[open]")) return;
  const place = before?.isConnected && before !== document.body
    ? before
    : (focusKey && document.querySelector(`[data-focus="${CSS.escape(focusKey)}"]`));
  (place || document.querySelector("#main h1") || document.getElementById("main")).focus();
}

/** Whether all that is open may be closed. The first that objects asks, as it does on Escape. */
export const mayLeave = () => [...opened].reverse().every(({ mayClose }) => mayClose());

/** Closes whatever is open, without asking. */
export function closeAll() {
  for (const { close } of [...opened].reverse()) close();
}

/**
 * Runs `work` for a dialog: shows progress, keeps the button from being pressed twice, and
 * shows what went wrong. Answers whether it succeeded.
 */
export async function run(where, pressed, progress, work, onError = null) {
  if (pressed.getAttribute("aria-disabled") === "true") return false;
  replace(where, h("div", { class: "progress", role: "status" }, h("progress", {}), progress));
  pressed.setAttribute("aria-disabled", "true");
  const late = setTimeout(() => where.querySelector(".progress")?.append(" It takes longer than usual."), 4_000);
  try {
    await work();
    replace(where);
    return true;
  } catch (error) {
    const shown = onError?.(error);
    replace(where, shown === undefined || shown === null ? callout("danger", h("p", {}, explainError(error))) : shown);
    return false;
  } finally {
    clearTimeout(late);
    pressed.removeAttribute("aria-disabled");
  }
}

/** A guard for a dialog with entries: asks before they are lost. `note` is where it asks. */
export function keepEntries(note, isChanged, close) {
  return () => {
    if (!isChanged()) return true;
    const keep = button("Keep editing", { class: "primary", on: { click: () => replace(note) } });
    const drop = button("Discard", { class: "danger", on: { click: close } });
    replace(note, callout("warning", h("p", {}, "Your entries would be lost."), h("div", { class: "buttons" }, keep, drop)));
    keep.focus();
    return false;
  };
}

/** Where a dialog says what becomes of an attempt. */
export const noteBox = () => h("div", { class: "note dialog-note", "aria-live": "polite" });

/**
 * Asks before something is done. `work` does it; the dialog stays open if that fails.
 * `after` is what follows, even if the dialog was left while `work` ran.
 */
export function confirm({ title, content, action, kind = "primary", progress, work, onError, after = null }) {
  const note = noteBox();
  const go = button(action, { class: kind, type: "submit" });
  const shown = open({
    title,
    content,
    note,
    buttons: [button("Cancel", { on: { click: () => shown.close() } }), go],
    submit: () => holding(async () => {
      if (!(await run(note, go, progress, work, onError))) return;
      shown.close();
      await after?.();
    }),
  });
  return shown;
}
