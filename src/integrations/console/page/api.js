// Requests to the admin API. The administrator's key lives in this module's variable and
// nowhere else: leaving or reloading the page forgets it.

const BASE = "admin/api-keys";
const PATIENCE = 60_000;

let credential = null;
let ended = false;
let refused = () => {};

export function signIn(key) {
  credential = key;
  ended = false;
}

/** Forgets the key, and asks for nothing more until somebody signs in: not as somebody else
 * whom a cookie names, either. */
export function end() {
  credential = null;
  ended = true;
}

/** What to do when the key is no longer accepted. */
export function onRefused(listener) {
  refused = listener;
}

/** An answer that is no success: the server said why. */
export class Refusal extends Error {
  constructor(status, error) {
    super(error?.message || `The server answered with status ${status}`);
    this.status = status;
    this.code = error?.code ?? "";
    this.details = error?.details ?? {};
  }

  get fields() {
    return Array.isArray(this.details.fields) ? this.details.fields : [];
  }

  /** Whether a change may have been made all the same. */
  get unsure() {
    return this.status >= 500;
  }
}

/** No answer, or one that can't be read: what was asked may have been done. */
export class NoAnswer extends Error {
  constructor(cause) {
    super("No answer from the server", { cause });
    this.unsure = true;
  }
}

async function call(method, path, { body, headers, signal } = {}) {
  if (ended) throw new Refusal(401);
  const wanted = {
    method,
    headers: { accept: "application/json", ...headers },
    cache: "no-store",
    credentials: "same-origin",
    redirect: "error",
    referrerPolicy: "no-referrer",
    signal: AbortSignal.any([AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])]),
  };
  if (credential) wanted.headers.authorization = `Bearer ${credential}`;
  if (method !== "GET") {
    wanted.headers["content-type"] = "application/json";
    wanted.body = JSON.stringify(body ?? {});
  }
  let answer;
  let read;
  try {
    answer = await fetch(BASE + path, wanted);
    const text = await answer.text();
    read = text ? JSON.parse(text) : {};
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (answer && !answer.ok) throw new Refusal(answer.status);
    throw new NoAnswer(error);
  }
  if (answer.ok) return read;
  const refusal = new Refusal(answer.status, read?.error);
  if (answer.status === 401) refused(refusal);
  throw refusal;
}

/** A name for a request, so that a repeat of it does nothing twice. */
export const repeatKey = () => crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].join("-");

const one = (id, action = "") => `/${encodeURIComponent(id)}${action}`;

export const options = () => call("GET", "/options");
export const reports = (signal) => call("GET", "/reports", { signal });
export const get = (id, signal) => call("GET", one(id), { signal });
export const usage = (id, signal) => call("GET", one(id, "/usage"), { signal });

export function list(filters, signal) {
  const given = Object.entries(filters).filter(([, value]) => value !== "" && value !== null && value !== false);
  return call("GET", `?${new URLSearchParams(given)}`, { signal });
}

export function events(id, cursor, signal) {
  return call("GET", one(id, "/events") + (cursor ? `?${new URLSearchParams({ cursor })}` : ""), { signal });
}

export const create = (body, repeat) => call("POST", "", { body, headers: { "idempotency-key": repeat } });
export const edit = (id, revision, body) =>
  call("PATCH", one(id), { body, headers: { "if-match": `"${revision}"` } });
export const rotate = (id, body) => call("POST", one(id, "/rotate"), { body });
export const regenerate = (id) => call("POST", one(id, "/regenerate"));
export const finishRotation = (id) => call("POST", one(id, "/finish-rotation"));
export const disable = (id) => call("POST", one(id, "/disable"));
export const enable = (id) => call("POST", one(id, "/enable"));
export const revoke = (id, reason) => call("POST", one(id, "/revoke"), { body: { reason } });
export const explain = (id, request) => call("POST", one(id, "/explain"), { body: request });
