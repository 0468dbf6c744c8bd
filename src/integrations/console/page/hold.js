// Signing out waits for what would be lost with it: a secret on its way, or on screen.

let held = 0;
let waiting = null;

/** Does `work`; what `whenFree` was given waits until it is done. */
export async function holding(work) {
  held += 1;
  try {
    await work();
  } finally {
    held -= 1;
    if (held === 0) {
      const next = waiting;
      waiting = null;
      next?.();
    }
  }
}

/** Does `next`, once nothing is held. */
export function whenFree(next) {
  if (held === 0) next();
  else waiting = next;
}
