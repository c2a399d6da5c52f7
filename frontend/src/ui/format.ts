const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const oneDigit = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const rating = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const minuteClock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayAndClock = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});

/** What stands where there is no value. */
export const none = "—";

export function formatCount(value: number): string {
  return whole.format(value);
}

/** A score of 0 to 100. */
export function formatScore(value: number): string {
  return oneDigit.format(value);
}

/** An attribute's value in words, as tables and sentences show it. */
export function formatAttribute(name: string, value: string | number | undefined): string {
  if (value === undefined) return none;
  if (typeof value === "string") {
    if (name === "last_updated") return formatInstant(value);
    return name === "segment" || name === "balance_status" ? formatChoice(value) : value;
  }
  switch (name) {
    case "avg_rating":
      return rating.format(value);
    case "churn_risk_14d":
      return percent.format(value);
    default:
      return oneDigit.format(value);
  }
}

/** `at_risk` reads `at risk`. */
export function formatChoice(value: string): string {
  return value.replaceAll("_", " ");
}

/** The time of day of an instant of the last twelve hours or so; of an older one also the day. */
export function formatInstant(instant: string, now: number = Date.now()): string {
  const time = Date.parse(instant);
  if (Number.isNaN(time)) return instant;
  return Math.abs(now - time) < 12 * 3_600_000 ? clock.format(time) : dayAndClock.format(time);
}

export function formatClock(time: number): string {
  return clock.format(time);
}

/** Hours and minutes. */
export function formatMinute(time: number): string {
  return minuteClock.format(time);
}

/** `milliseconds` ≥ 0 as `just now`, `12 s ago`, `3 min ago`, `2 h ago`. */
export function formatAgo(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ago`;
  return `${Math.floor(minutes / 60)} h ago`;
}
