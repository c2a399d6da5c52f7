import { entityTypes } from "@contracts/zz_kinds.ts";
import { collator, type Entity, type EntityKey } from "../../live/replica.ts";
import { valueOf, type Tab } from "./columns.ts";

export interface Sorting {
  readonly column: string;
  readonly isDescending: boolean;
}

/** How many entities each tab has. */
export function countByTab(order: readonly EntityKey[]): Record<Tab, number> {
  const counts = { all: order.length, student: 0, tutor: 0, subject: 0, region: 0 };
  for (const key of order) {
    const type = entityTypes.find((candidate) => key.startsWith(`${candidate}/`));
    if (type) counts[type] += 1;
  }
  return counts;
}

/** Those of a tab whose id contains `search`, whatever its case. Their order stays. */
export function filterKeys(order: readonly EntityKey[], tab: Tab, search: string): EntityKey[] {
  const wanted = search.trim().toLowerCase();
  return order.filter((key) => {
    const slash = key.indexOf("/");
    if (tab !== "all" && key.slice(0, slash) !== tab) return false;
    return (
      wanted === "" ||
      key
        .slice(slash + 1)
        .toLowerCase()
        .includes(wanted)
    );
  });
}

/**
 * Sorts keys by the values that `entities` holds. Equal ones keep their order, and those without a
 * value come last, whichever way the rest goes.
 */
export function sortKeys(
  keys: readonly EntityKey[],
  sorting: Sorting,
  entities: ReadonlyMap<EntityKey, Entity>,
): EntityKey[] {
  const values = new Map(
    keys.map((key) => {
      const entity = entities.get(key);
      return [key, entity && sortableValue(entity, sorting.column)];
    }),
  );
  const direction = sorting.isDescending ? -1 : 1;
  return keys.toSorted((a, b) => compare(values.get(a), values.get(b), direction));
}

function sortableValue(entity: Entity, column: string): string | number | undefined {
  const value = valueOf(entity, column);
  if (column !== "last_updated" || typeof value !== "string") return value;
  const time = Date.parse(value);
  return Number.isNaN(time) ? undefined : time;
}

function compare(
  a: string | number | undefined,
  b: string | number | undefined,
  direction: number,
): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  if (typeof a === "number" && typeof b === "number") return (a - b) * direction;
  return collator.compare(String(a), String(b)) * direction;
}
