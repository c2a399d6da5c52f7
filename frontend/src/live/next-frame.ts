/** A page that is not painted gets no animation frames: after this many milliseconds we go on anyway. */
const unpaintedDelay = 250;

/**
 * Runs a function once: before the next paint, or a little later where nothing is painted; at once after the
 * task at hand where nothing ever is, as in a script.
 */
export function onNextFrame(run: () => void): void {
  if (typeof requestAnimationFrame === "undefined") {
    queueMicrotask(run);
    return;
  }
  const go = (): void => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    run();
  };
  const frame = requestAnimationFrame(go);
  const timer = setTimeout(go, unpaintedDelay);
}
