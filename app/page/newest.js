// One call at a time, always of the newest: what came meanwhile is dropped but for the last.

/** A function that does `work` now, or once more after the work that runs. */
export function newestOnly(work) {
  let running = false;
  let again = false;
  return async function offer() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      do {
        again = false;
        await work();
      } while (again);
    } finally {
      running = false;
    }
  };
}
