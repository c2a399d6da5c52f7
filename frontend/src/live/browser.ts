import { systemClock, type Clock } from "./clock.ts";
import type { LiveClientOptions } from "./live-client.ts";
import type { Page } from "./page.ts";
import { startTimerWorker, WorkerTimers } from "./worker-timers.ts";

const timers = new WorkerTimers(systemClock, startTimerWorker);

/** The time of the machine. Its timers are on time also in a tab that nobody looks at. */
const clock: Clock = {
  now: () => systemClock.now(),
  setTimeout: (run, milliseconds) => timers.setTimeout(run, milliseconds),
  clearTimeout: (timer) => {
    timers.clearTimeout(timer);
  },
};

const page: Page = {
  isVisible,
  listen: (onChange) => {
    const listening = new AbortController();
    const { signal } = listening;
    document.addEventListener(
      "visibilitychange",
      () => {
        onChange(isVisible() ? "visible" : "hidden");
      },
      { signal },
    );
    for (const change of ["online", "offline"] as const) {
      const tell = () => {
        onChange(change);
      };
      window.addEventListener(change, tell, { signal });
    }
    return () => {
      listening.abort();
    };
  },
};

function isVisible(): boolean {
  return document.visibilityState !== "hidden";
}

/** A page that is not painted gets no animation frames: after this many milliseconds we go on anyway. */
const unpaintedDelay = 250;

/** Runs a function once: before the next paint, or a little later where nothing is painted. */
function onNextFrame(run: () => void): void {
  const go = (): void => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    run();
  };
  const frame = requestAnimationFrame(go);
  const timer = setTimeout(go, unpaintedDelay);
}

/**
 * What a live client in a page is given of its surroundings: it is told who looks and whether there is a network,
 * shows what has come once before each paint, and keeps its time in the background.
 */
export const browser = { clock, page, schedule: onNextFrame } satisfies Partial<LiveClientOptions>;
