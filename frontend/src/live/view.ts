import {
  attributeKinds,
  insightKinds,
  requiredOfInsights,
  type AttributeKind,
} from "@contracts/zz_kinds.ts";
import type { ComparisonV1, ViewV1 } from "@contracts/zz_types.ts";
import type { Attributes, InsightAttributes } from "./read-frame.ts";

export interface Match {
  readonly matched: boolean;
  /** Names of the attributes that are sent of what matched, sorted; null: all of them. */
  readonly fields: readonly string[] | null;
}

const nothing: Match = { matched: false, fields: null };
const everything: Match = { matched: true, fields: null };

const kinds: ReadonlyMap<string, ReadonlyMap<string, AttributeKind>> = new Map(
  Object.entries({ ...attributeKinds, insight: insightKinds }).map(([type, named]) => [
    type,
    new Map(Object.entries<AttributeKind>(named)),
  ]),
);

/**
 * Decides whether a state is watched, and which of its attributes: those that any view asks for which
 * it matches. The type is an entity type, or `insight`. The server decides the same, and both are
 * tested on contracts/vectors/views.json; but numbers are compared here as JSON.parse rounds them.
 */
export function matches(
  views: readonly ViewV1[],
  type: string,
  attributes: Attributes | InsightAttributes,
): Match {
  const known = kinds.get(type);
  const state = attributes as Readonly<Record<string, unknown>>;
  const matching = views.filter(
    ({ entity_type: watched, where = [] }) =>
      (watched === "*" || watched === type) &&
      where.every((comparison) => {
        const { attribute } = comparison;
        return holds(comparison, known?.get(attribute), state[attribute]);
      }),
  );
  if (matching.length === 0) return nothing;
  const asked = matching.map(({ fields }) => fields);
  // Of a type that is not known nobody can say which attributes it has.
  if (!known || asked.includes(undefined)) return everything;
  const fields = new Set(asked.flatMap((names = []) => names).filter((name) => known.has(name)));
  // They are sent of every insight; an entity has none that it must have.
  if (type === "insight") for (const name of requiredOfInsights) fields.add(name);
  return { matched: true, fields: [...fields].sort() };
}

/** It does not hold where the value is absent, or not of the attribute's kind. */
function holds(
  { operator, value: wanted }: ComparisonV1,
  kind: AttributeKind | undefined,
  value: unknown,
): boolean {
  switch (kind) {
    case "integer":
    case "number":
      return (
        typeof value === "number" && typeof wanted === "number" && compare(operator, value, wanted)
      );
    case "instant":
      return compare(operator, readInstant(value), readInstant(wanted));
    case "text":
    case "choice":
      if (typeof value !== "string" || typeof wanted !== "string") return false;
      return operator === "eq" ? value === wanted : operator === "ne" && value !== wanted;
    default:
      return false;
  }
}

function compare<T extends number | bigint>(
  operator: ComparisonV1["operator"],
  a: T | undefined,
  b: T | undefined,
): boolean {
  if (a === undefined || b === undefined) return false;
  switch (operator) {
    case "eq":
      return a === b;
    case "ne":
      return a !== b;
    case "lt":
      return a < b;
    case "le":
      return a <= b;
    case "gt":
      return a > b;
    case "ge":
      return a >= b;
    default:
      return false;
  }
}

const instantForm =
  /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-](?:[01]\d|2[0-3]):\d\d)$/;

/** An instant of the contracts in unix nanoseconds: Date.parse drops what is below a millisecond. */
function readInstant(text: unknown): bigint | undefined {
  if (typeof text !== "string") return undefined;
  const [, seconds = "", fraction = "", zone = ""] = instantForm.exec(text) ?? [];
  const milliseconds = Date.parse(seconds + zone);
  if (Number.isNaN(milliseconds)) return undefined;
  return BigInt(milliseconds) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}
