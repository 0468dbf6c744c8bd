// A button that copies a text, and says so.

import { button, replace } from "./dom.js";
import { icon } from "./icon.js";
import { say } from "./say.js";

/** `text` is asked for at the press, so that no closure keeps a secret. */
export function copyButton(label, text, { small = false, fallback = null, copied = null } = {}) {
  const shown = small ? [icon("copy")] : [icon("copy"), label];
  const pressed = button("", { class: small ? "quiet square small" : "", "aria-label": small ? label : null, title: small ? label : null });
  replace(pressed, shown);
  pressed.addEventListener("click", async () => {
    const done = await write(text()).catch(() => false);
    if (!done) {
      fallback?.();
      say("Copying is not allowed here. The text is selected: press Control and C.");
      return;
    }
    say("Copied");
    copied?.();
    replace(pressed, icon("check"), small ? null : "Copied");
    setTimeout(() => replace(pressed, shown), 2_000);
  });
  return pressed;
}

/** `navigator.clipboard` is only there over HTTPS and on localhost. */
async function write(text) {
  if (!navigator.clipboard) return false;
  await navigator.clipboard.writeText(text);
  return true;
}
