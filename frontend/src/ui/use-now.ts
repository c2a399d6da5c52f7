import { useSyncExternalStore } from "react";

const second = 1000;

function subscribe(onTick: () => void): () => void {
  const timer = setInterval(onTick, second);
  return () => {
    clearInterval(timer);
  };
}

/** The time in unix milliseconds, to the second; the component renders again each second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => Math.floor(Date.now() / second) * second);
}
