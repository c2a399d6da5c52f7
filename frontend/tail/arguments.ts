import { parseArgs } from "node:util";
import type { ComparisonV1, EntityType, ViewV1 } from "#live";
import { attributeKinds, entityTypes, insightKinds, type AttributeKind } from "#live-select";

export interface Options {
  readonly views: readonly ViewV1[];
  /** The attributes to print; undefined: all. */
  readonly fields: readonly string[] | undefined;
  /** Print entities, or insights, or both. */
  readonly hasEntities: boolean;
  readonly hasInsights: boolean;
  /** One JSON object a line. */
  readonly isJson: boolean;
  /** First what is there. */
  readonly hasSnapshot: boolean;
  /** End after the first change; with a snapshot, after that. */
  readonly isOnce: boolean;
  /** Milliseconds after which to end. */
  readonly duration: number | undefined;
  /** Of the WebSocket and of the HTTP API, where they were given. */
  readonly url: string | undefined;
  readonly api: string | undefined;
}

/** What was asked for makes no sense; the message says why, to whoever typed it. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const usage = `Usage: scripts/tail [option ...]

Prints each change of what a dashboard would show, as it comes, one a line: time, entity, what happened,
changed attributes, version, and how old it was when it came.

What to watch; every entity, unless told otherwise:
  --type TYPE         student, tutor, subject or region; may be repeated
  --where COMPARISON  such as 'health_score<50'; operators = != < <= > >=; all must hold; may be repeated
  --fields A,B        print, and be sent, only these attributes
  --insights          insights too; alone, or with --where on their attributes: only insights
  --view JSON         a view in the form of the contract, instead of the above; may be repeated

What to print:
  --snapshot          first what is there, then the changes
  --json              one JSON object a line
  --once              end after the first change; with --snapshot, once that is printed
  --for TIME          end after that time: 500ms, 10s, 5m, 1h

Whom to ask; the running scripts/up, unless told otherwise:
  --url URL           of the WebSocket; else WEBSOCKET_URL, else what .local/env says
  --api URL           of the HTTP API, which gives tickets and is polled where sockets are blocked; else
                      API_URL, or what .local/env says, if that is where the WebSocket's URL came from
  TOKEN               in the environment: says who asks, where that is wanted (scripts/up --auth ticket); it
                      must be a service's, for this is no page

How current it is, is said on stderr: live, stale since 14:05, offline: trying again in 3 s.

Examples:
  scripts/tail --type student --where 'health_score<50'
  scripts/tail --type subject --where balance_status=high_demand --fields region,demand_score
  scripts/tail --insights --where 'risk_score>=80'
  scripts/tail --snapshot --once --json | jq -r 'select(.attributes.segment == "at_risk").id'
  TOKEN=$(curl -s $TOKEN_URL -d username=ada -d tenant=default -d service=true | jq -r .access_token) scripts/tail

Ends with 0 after --once or --for, ctrl-C, or when nobody reads on; 2 if the options make no sense; 3 if
nothing answers, or --for is over before everything was here; 4 if who asks is not let in, or may not watch that.
`;

/** Reads the arguments; undefined: help was asked for. It throws a UsageError. */
export function readArguments(args: readonly string[]): Options | undefined {
  const { values } = parse(args);
  if (values.help) return undefined;
  const types = (values.type ?? []).map(readType);
  const where = (values.where ?? []).map(readComparison);
  const fields = values.fields?.split(",").map((name) => name.trim());

  const given = (values.view ?? []).map(readView);
  if (given.length > 0 && (types.length > 0 || where.length > 0 || values.insights)) {
    throw new UsageError("--view says all; --type, --where and --insights do not go with it");
  }
  const views = given.length > 0 ? given : viewsOf(types, where, fields, values.insights);
  const watched = views.map(({ entity_type }) => entity_type);
  return {
    views,
    fields,
    hasEntities: watched.some((type) => type !== "insight"),
    hasInsights: given.length > 0 ? watched.some(isOfInsights) : values.insights,
    isJson: values.json,
    hasSnapshot: values.snapshot,
    isOnce: values.once,
    duration: values.for === undefined ? undefined : readDuration(values.for),
    url: values.url === undefined ? undefined : readUrl("--url", values.url, /^wss?:$/),
    api: values.api === undefined ? undefined : readUrl("--api", values.api, /^https?:$/),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        type: { type: "string", multiple: true },
        where: { type: "string", multiple: true },
        fields: { type: "string" },
        insights: { type: "boolean", default: false },
        view: { type: "string", multiple: true },
        snapshot: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        once: { type: "boolean", default: false },
        for: { type: "string" },
        url: { type: "string" },
        api: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function viewsOf(
  types: readonly EntityType[],
  where: readonly ComparisonV1[],
  fields: readonly string[] | undefined,
  hasInsights: boolean,
): ViewV1[] {
  const onlyInsights = hasInsights && types.length === 0;
  const watched: ViewV1["entity_type"][] = onlyInsights
    ? ["insight"]
    : types.length > 0
      ? [...types]
      : [...entityTypes];
  for (const { attribute } of where) checkAttribute(attribute, watched, "--where");
  for (const name of fields ?? []) checkAttribute(name, watched, "--fields");
  const views: ViewV1[] = watched
    // A type without that attribute has nothing that could match.
    .filter((type) => where.every(({ attribute }) => kindOf(type, attribute) !== undefined))
    .filter((type) => !fields || fieldsOf(type, fields).length > 0)
    .map((entity_type) => ({
      entity_type,
      ...(where.length > 0 && { where: [...where] }),
      ...(fields && { fields: fieldsOf(entity_type, fields) }),
    }));
  if (views.length === 0)
    throw new UsageError("nothing that is watched has all of those attributes");
  return hasInsights && !onlyInsights ? [...views, { entity_type: "insight" }] : views;
}

function fieldsOf(type: string, fields: readonly string[]): string[] {
  return fields.filter((name) => kindOf(type, name) !== undefined);
}

function readType(text: string): EntityType {
  const type = entityTypes.find((candidate) => candidate === text);
  if (type) return type;
  throw new UsageError(`no entity type is called ${text}; there are ${entityTypes.join(", ")}`);
}

const operators: Readonly<Record<string, ComparisonV1["operator"]>> = {
  "=": "eq",
  "!=": "ne",
  "<": "lt",
  "<=": "le",
  ">": "gt",
  ">=": "ge",
};

function readComparison(text: string): ComparisonV1 {
  const [, attribute = "", sign = "", rest = ""] =
    /^\s*(\w+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*$/.exec(text) ?? [];
  const operator = operators[sign];
  if (!operator) throw new UsageError(`--where takes such as 'health_score<50', not ${text}`);
  const kind = allKinds.get(attribute);
  if (kind !== "integer" && kind !== "number") {
    const isOrder = operator !== "eq" && operator !== "ne";
    if (kind !== undefined && kind !== "instant" && isOrder) {
      throw new UsageError(`${attribute} is no number: it takes = and != only`);
    }
    return { attribute, operator, value: rest };
  }
  const value = rest === "" ? NaN : Number(rest);
  if (!Number.isFinite(value))
    throw new UsageError(`${attribute} is a number, and ${rest || "nothing"} is none`);
  return { attribute, operator, value };
}

/** Whether it makes sense is for the server to say: it may know more than this program. */
function readView(text: string): ViewV1 {
  let view: unknown;
  try {
    view = JSON.parse(text);
  } catch {
    view = undefined;
  }
  if (typeof view === "object" && view !== null && "entity_type" in view) return view as ViewV1;
  throw new UsageError(`--view takes such as '{"entity_type":"student"}', not ${text}`);
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
/** Timers take no longer times. */
const longest = 2 ** 31 - 1;

function readDuration(text: string): number {
  const [, number = "", unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  const duration = Number(number) * (units[unit] ?? NaN);
  if (duration <= longest) return duration;
  throw new UsageError(
    `--for takes such as 500ms, 10s, 5m or 1h, and no more than 24 days, not ${text}`,
  );
}

function readUrl(option: string, text: string, protocol: RegExp): string {
  if (URL.canParse(text) && protocol.test(new URL(text).protocol)) return text;
  const wanted = option === "--url" ? "ws:// or wss://" : "http:// or https://";
  throw new UsageError(`${option} takes a URL that starts with ${wanted}`);
}

function checkAttribute(name: string, types: readonly string[], option: string): void {
  const known = types.flatMap((type) => (type === "*" ? [...allKinds.keys()] : namesOf(type)));
  if (known.includes(name)) return;
  const names = [...new Set(known)].join(", ");
  throw new UsageError(
    `${option}: nothing that is watched has ${name || "an empty name"}; there are ${names}`,
  );
}

function isOfInsights(type: string): boolean {
  return type === "insight" || type === "*";
}

const kindsByType: ReadonlyMap<string, ReadonlyMap<string, AttributeKind>> = new Map(
  Object.entries({ ...attributeKinds, insight: insightKinds }).map(([type, kinds]) => [
    type,
    new Map(Object.entries<AttributeKind>(kinds)),
  ]),
);
const allKinds: ReadonlyMap<string, AttributeKind> = new Map(
  [...kindsByType.values()].flatMap((kinds) => [...kinds]),
);

function kindOf(type: string, name: string): AttributeKind | undefined {
  return kindsByType.get(type)?.get(name);
}

function namesOf(type: string): string[] {
  return [...(kindsByType.get(type)?.keys() ?? [])];
}
