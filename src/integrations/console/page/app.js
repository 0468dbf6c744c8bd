// The API Keys page: which view is shown, and who is signed in.

import * as api from "./api.js";
import { button, h, replace, words } from "./dom.js";
import { closeAll, mayLeave } from "./dialog.js";
import { detailView } from "./detail.js";
import { whenFree } from "./hold.js";
import { listView } from "./list.js";
import { reportsView } from "./reports.js";
import { signInView } from "./signin.js";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const who = document.getElementById("who");

let options = null;
let view = null;
/** The part of the address whose view is shown. */
let at = "";

function show(made) {
  view?.leave();
  view = made;
  replace(main, made.node);
  document.title = made.heading === "API Keys" ? "API Keys" : `${made.heading} – API Keys`;
}

function route({ focus = true } = {}) {
  if (!options) return;
  at = location.hash;
  const [, page = "keys", id] = location.hash.split("/");
  for (const link of nav.querySelectorAll("a")) {
    const here = link.hash === `#/${page}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  closeAll();
  if (page === "reports") show(reportsView());
  else if (page === "keys" && id) show(detailView(decoded(id), options));
  else show(listView(options));
  if (focus) (main.querySelector("h1") ?? main).focus({ preventScroll: true });
  scrollTo(0, 0);
}

/** A part of the address as it was meant; as it is if it can't be decoded. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function entered(found) {
  // What was begun before may still show a secret.
  whenFree(() => enter(found));
}

function enter(found) {
  options = found;
  nav.hidden = false;
  who.hidden = false;
  const { name = "", owner = null } = options.actor ?? {};
  replace(who, h("span", { class: "who-name" }, words(name), owner ? [" · ", words(owner)] : null),
    button("Sign out", { class: "quiet small", on: { click: () => leave(null) } }));
  route();
}

/** Forgets the key and everything that was shown. */
function leave(why) {
  api.signIn(null);
  options = null;
  closeAll();
  nav.hidden = true;
  who.hidden = true;
  replace(who);
  const made = signInView(entered, why);
  show(made);
  made.focus.focus();
}

api.onRefused(() => {
  const session = options;
  if (!session) return;
  api.end();
  whenFree(() => {
    if (options === session) leave("The key is no longer accepted: it may have expired, or been replaced or revoked. Sign in again.");
  });
});
addEventListener("hashchange", () => {
  if (options && location.hash === at) return;
  if (options && !mayLeave()) location.hash = at;
  else route();
});
leave(null);
