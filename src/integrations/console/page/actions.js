// What can be done with a key, each behind a dialog that says what it means.

import * as api from "./api.js";
import { h, words } from "./dom.js";
import { confirm } from "./dialog.js";
import { edit } from "./edit.js";
import { checkbox, selectField } from "./field.js";
import { ago, instant } from "./format.js";
import { callout, everywhere, explainError, toast } from "./say.js";
import { showSecret } from "./secret.js";
import { oldSecret } from "./rotation.js";

const LIVE = new Set(["active", "inactive", "scheduled"]);

/** The actions a key's status allows: `[label, name, run]`. */
export function actionsOf(key, options, changed) {
  const held = options.actor?.permissions;
  const may = (what) => !held || held.includes(`api.key.${what}`);
  const live = LIVE.has(key.status) && may("update");
  const running = Boolean(oldSecret(key));
  return [
    live && ["Edit", "edit", () => edit(options, key.id, changed)],
    live && ["Rotate…", "rotate", () => rotate(key, changed)],
    live && running && ["Finish rotation…", "finish", () => finish(key, changed)],
    live && ["Regenerate…", "regenerate", () => regenerate(key, changed)],
    live && key.status !== "inactive" && ["Disable…", "disable", () => disable(key, changed)],
    live && key.status === "inactive" && ["Enable…", "enable", () => enable(key, changed)],
    key.status !== "revoked" && may("delete") && ["Revoke…", "revoke", () => revoke(key, changed)],
  ].filter(Boolean);
}

const named = (key) => [h("strong", {}, words(key.name)), " (", h("code", { class: "mono" }, key.id), ")"];

const lastUsed = (key) => (key.last_used_at ? ["It was last used ", ago(key.last_used_at), "."] : "It has never been used.");

const GRACES = [["0", "At once"], ["3600", "After 1 hour"], ["86400", "After 1 day"], ["604800", "After 7 days"], ["2592000", "After 30 days"]];

function rotate(key, changed) {
  const running = oldSecret(key);
  const grace = selectField({ name: "grace", label: "The old secret stops", hint: "Until then both work, so that applications can be moved one by one.", choices: GRACES, value: "86400" });
  const replaceOlder = checkbox("Stop the older secret now and start another rotation", false);
  let answer;
  let seconds;
  confirm({
    title: "Rotate API key",
    content: [
      h("p", {}, "Gives ", named(key), " a new secret. Name, permissions and settings stay."),
      grace.node,
      running ? callout("warning", h("p", {}, "A rotation is running already; its old secret works until ", instant(running.valid_until), "."), replaceOlder.node) : null,
    ],
    action: "Rotate",
    progress: "Rotating…",
    work: async () => {
      seconds = Number(grace.value());
      answer = await api.rotate(key.id, { grace_seconds: seconds, replace_older: replaceOlder.control.checked });
    },
    onError: (error) => {
      if (error.code === "WRONG_STATE" && LIVE.has(error.details.status)) {
        changed();
        return alreadyRotating(error, running ? null : replaceOlder.node);
      }
      if (!error.unsure) {
        // Its box goes with what was said before.
        if (!running) replaceOlder.control.checked = false;
        return null;
      }
      // Left ticked, a repeat would end the one secret that somebody has.
      replaceOlder.control.checked = false;
      return seconds === 0
        ? lostSecret(error, "rotated", "its old secret has stopped", "it gives a new secret")
        : lostSecret(error, "rotated", "its old secret works until its time is up", "it gives a new secret, or tells that a rotation is running");
    },
    after: () => handOver("Your rotated API key", answer, changed, seconds === 0
      ? "The old secret has stopped working."
      : "The old secret keeps working until its time is up; see the key’s page for whether it is still used."),
  });
}

function regenerate(key, changed) {
  let answer;
  confirm({
    title: "Regenerate API key",
    content: [
      h("p", {}, "Gives ", named(key), " a new secret and keeps its name, permissions and settings."),
      callout("warning", h("p", {}, h("strong", {}, "The old key will stop working immediately. "), lastUsed(key))),
    ],
    action: "Regenerate",
    kind: "danger",
    progress: "Regenerating…",
    work: async () => {
      answer = await api.regenerate(key.id);
    },
    onError: (error) => (error.unsure ? lostSecret(error, "regenerated", "its old secret has stopped", "it gives a new secret") : null),
    after: () => handOver("Your regenerated API key", answer, changed),
  });
}

/** Whether it was `done` is not known: what then became of the old secret, and what a repeat does. */
function lostSecret(error, done, old, again) {
  return callout("warning", h("p", {}, h("strong", {}, explainError(error)),
    ` The key may have been ${done} or not. If it was, ${old}, and the new one is lost. Trying again is safe: ${again}.`));
}

/** A rotation with a grace runs: an earlier try's, whose secret nobody has, or somebody else's. */
function alreadyRotating(error, replaceOlder) {
  return callout("danger", h("p", {}, h("strong", {}, error.message, ". ")),
    h("p", {}, "If an earlier try got through, the rotation is its own: the old secret works until its time is up, and the new one is lost; finishing it would leave only that. ",
      "To get one that you can copy, regenerate the key, which ends both at once; or rotate once more and stop the older one, which is then the one in use."),
    replaceOlder);
}

/** Tells of the change when the secret is safe: it may be the one that one is signed in with. */
async function handOver(title, answer, changed, note) {
  await showSecret(title, answer, note);
  changed();
}

/** A change without a secret: says so when it is done. */
function simple(key, { done, call, changed, ...rest }) {
  let answer;
  const shown = confirm({
    progress: "Working…",
    ...rest,
    work: async () => {
      answer = await call();
    },
  });
  shown.closed.then(() => {
    if (!answer) return;
    toast(words(key.name), ` ${done}.`, everywhere(answer));
    changed();
  });
}

export function finish(key, changed) {
  const old = oldSecret(key);
  simple(key, {
    title: "Finish rotation",
    content: [
      h("p", {}, "Ends the grace of ", named(key), ": only the new secret works from now on."),
      callout("warning", h("p", {}, old?.last_used_at ? ["The old secret was last used ", ago(old.last_used_at), "."] : "The old secret has never been used.")),
    ],
    action: "Finish rotation",
    done: "has one secret again",
    call: () => api.finishRotation(key.id),
    changed,
  });
}

function disable(key, changed) {
  simple(key, {
    title: "Disable API key",
    content: [h("p", {}, "Temporarily switches off ", named(key), ". It can be enabled again. ", lastUsed(key)),
      callout("warning", h("p", {}, "Applications using this key will stop working until it is enabled."))],
    action: "Disable",
    kind: "danger",
    done: "is disabled",
    call: () => api.disable(key.id),
    changed,
  });
}

function enable(key, changed) {
  simple(key, {
    title: "Enable API key",
    content: h("p", {}, "Switches on ", named(key), " again, with the permissions it has."),
    action: "Enable",
    done: "is enabled",
    call: () => api.enable(key.id),
    changed,
  });
}

const REASONS = [
  ["compromised", "It is compromised"],
  ["superseded", "Another key replaces it"],
  ["unused", "It is no longer used"],
  ["owner_left", "Its owner left"],
  ["policy", "A policy demands it"],
  ["other", "Another reason"],
];

function revoke(key, changed) {
  const reason = selectField({ name: "reason", label: "Reason", hint: "It is kept in the audit trail.", choices: REASONS, value: "superseded" });
  simple(key, {
    title: "Revoke API key",
    content: [
      h("p", {}, "Revokes ", named(key), " for good. ", lastUsed(key)),
      callout("danger", h("p", {}, h("strong", {}, "Applications using this key will stop working"), ". This can’t be undone.")),
      reason.node,
    ],
    action: "Revoke key",
    kind: "danger",
    progress: "Revoking…",
    done: "is revoked",
    call: () => api.revoke(key.id, reason.value()),
    changed,
  });
}

