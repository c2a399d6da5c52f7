import type { Freshness } from "#live";
import type { Change, Kind, Value } from "./changes.ts";

export interface Form {
  /** The attributes to print; undefined: all. */
  readonly fields: readonly string[] | undefined;
  readonly hasColours: boolean;
}

export interface Step {
  readonly from?: Value;
  readonly to?: Value;
}

/** The attributes to print that differ, by name. The writer's own clock is not among them. */
export function stepsOf(
  { before, now }: Change,
  { fields }: Pick<Form, "fields">,
): Record<string, Step> {
  const names = fields ?? [...new Set([...Object.keys(now), ...Object.keys(before)])];
  const steps = names
    .filter((name) => name !== "last_updated" || fields?.includes(name))
    .filter((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name]))
    .map((name): [string, Step] => {
      const from = before[name];
      const to = now[name];
      return [name, { ...(from !== undefined && { from }), ...(to !== undefined && { to }) }];
    });
  return Object.fromEntries(steps);
}

/**
 * Of the version it says the revision alone: the epoch is the same until the state table is made anew. `time` is the
 * server's, in unix milliseconds. Undefined: none of the attributes to print has changed.
 */
export function formatLine(change: Change, time: number, form: Form): string | undefined {
  const { kind, type, id, version, at } = change;
  // The rest of an insight repeats what stands in the line already, or is for programs.
  const fields = form.fields ?? (type === "insight" ? gistOfInsights : undefined);
  const steps = Object.entries(kind === "removed" ? {} : stepsOf(change, { fields }));
  if (kind === "changed" && steps.length === 0 && form.fields) return undefined;
  const paint = painter(form.hasColours);
  const parts = [
    paint("dim", clock.format(time)),
    `${type} ${clean(id)}`,
    paint(colourOf[kind], kind),
    steps.map(([name, step]) => describe(name, step, kind)).join(", "),
    paint("dim", version ? `v${version.revision}` : ""),
    paint("dim", at === undefined ? "" : formatAge(time - Date.parse(at))),
  ];
  return parts.filter((part) => part !== "").join("  ");
}

/** The same as one JSON object. */
export function formatJson(change: Change, time: number, form: Form): string | undefined {
  const { kind, type, id, version, now, at } = change;
  const changed = kind === "changed" ? stepsOf(change, form) : undefined;
  if (changed && Object.keys(changed).length === 0 && form.fields) return undefined;
  const attributes = Object.fromEntries(
    Object.entries(now).filter(([name]) => form.fields?.includes(name) ?? true),
  );
  return JSON.stringify({
    time: new Date(time).toISOString(),
    type,
    id,
    kind,
    version,
    ...(changed && { changed }),
    ...(kind !== "removed" && { attributes }),
    ...(at !== undefined && { written_at: at, age_ms: ageOf(time - Date.parse(at)) }),
  });
}

/**
 * How current what is printed is. `retryIn`: milliseconds until the next attempt to connect. Undefined: there is
 * nothing to say that will not be said better in a moment.
 */
export function formatFreshness(
  freshness: Freshness,
  retryIn: number | undefined,
): string | undefined {
  switch (freshness.kind) {
    case "live":
      return "live";
    case "catching_up":
      return "catching up";
    case "polling":
      return "polling: no socket gets through";
    case "stale":
      return freshness.since === undefined
        ? "stale"
        : `stale since ${minute.format(freshness.since)}`;
    case "offline":
      if (retryIn === undefined) return undefined;
      return `offline: trying again in ${Math.max(1, Math.round(retryIn / 1_000))} s`;
    case "signed_out":
      return "not let in: nobody knows who asks";
    case "forbidden":
      return "not let in: who asks may not";
  }
}

const gistOfInsights = ["risk_band", "risk_score", "prediction_type", "explanation"];

const clock = new Intl.DateTimeFormat("en-GB", {
  ...{ hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 },
});
const minute = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

function describe(name: string, { from, to }: Step, kind: Kind): string {
  if (kind !== "changed") return `${name} ${show(to)}`;
  return `${name} ${show(from)} → ${show(to)}`;
}

function show(value: Value | undefined): string {
  if (value === undefined) return "—";
  if (typeof value === "number") return String(value);
  return clean(typeof value === "string" ? value : value.join("; "));
}

/** What a writer wrote may not end a line, nor give orders to a terminal. */
function clean(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, "�");
}

/** Clocks of writers may be ahead. */
function ageOf(milliseconds: number): number {
  return Math.max(0, Math.round(milliseconds));
}

function formatAge(milliseconds: number): string {
  if (Number.isNaN(milliseconds)) return "";
  const seconds = ageOf(milliseconds) / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

const colourOf: Readonly<Record<Kind, Colour>> = {
  held: "dim",
  appeared: "green",
  changed: "yellow",
  removed: "red",
};

const codes = { dim: 2, red: 31, green: 32, yellow: 33 };
type Colour = keyof typeof codes;

function painter(hasColours: boolean): (colour: Colour, text: string) => string {
  return (colour, text) =>
    hasColours && text !== "" ? `\x1b[${codes[colour]}m${text}\x1b[0m` : text;
}
