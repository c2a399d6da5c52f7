// Runs timers for a page: in a worker they are not slowed down while nobody looks at the tab.

/** A timer of that name is set, for so many milliseconds, or cleared. */
export type TimerRequest = readonly [name: number, milliseconds: number | undefined];

const timers = new Map<number, ReturnType<typeof setTimeout>>();

self.onmessage = ({ data }: MessageEvent<TimerRequest>) => {
  const [name, milliseconds] = data;
  clearTimeout(timers.get(name));
  timers.delete(name);
  if (milliseconds === undefined) return;
  const timer = setTimeout(() => {
    timers.delete(name);
    self.postMessage(name);
  }, milliseconds);
  timers.set(name, timer);
};
