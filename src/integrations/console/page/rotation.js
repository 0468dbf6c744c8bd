// Two secrets at once: which is the old one, and whether anything still uses it.

import { h } from "./dom.js";
import { ago, instant } from "./format.js";
import { icon } from "./icon.js";

/** The secret whose grace runs, if there is one. */
export function oldSecret(key) {
  return key.secrets?.find((secret) => !secret.current && new Date(secret.valid_until) > new Date());
}

/** The line that tells whether a rotation has been followed everywhere. */
export function rotationLine(key) {
  const old = oldSecret(key);
  if (!old) return null;
  const used = old.last_used_at;
  const since = used && key.rotated_at && new Date(used) >= new Date(key.rotated_at);
  const text = used ? ["Old secret last used ", ago(used), since ? ": something still uses it." : ", before the rotation."] : "Old secret never used.";
  return h("div", { class: `callout ${since ? "warning" : "info"} rotation` }, icon(since ? "alert" : "refresh"),
    h("div", {}, h("p", {}, h("strong", {}, "A rotation is running. "), "The old secret works until ", instant(old.valid_until), "."),
      h("p", { class: "old-secret" }, text)));
}
