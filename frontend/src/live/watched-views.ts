import type { ComparisonV1, ViewV1 } from "@contracts/zz_types.ts";

/** Every entity and every insight of the tenant. */
export const everything: ViewV1 = { entity_type: "*" };

/** What one sync can carry; see contracts/schemas/commands/sync. */
const viewLimit = 50;
const fieldLimit = 32;
/** Bytes. The rest of the command has at most 4,096 less this. */
const sizeLimit = 3_072;

/**
 * The views to ask the server for, so that all of `wanted` can be shown: without repetition, and in an
 * order that depends on nothing but what they are. Whoever wanted one picks out of the answer what
 * matches it. Where nobody wants anything, or all of it together would not fit into a command, it is
 * everything.
 */
export function viewsToWatch(wanted: Iterable<ViewV1>): readonly ViewV1[] {
  const views = new Map<string, ViewV1>();
  for (const view of wanted) {
    const shown = withComparedFields(view);
    views.set(viewsKey([shown]), shown);
  }
  const fits =
    views.size > 0 &&
    views.size <= viewLimit &&
    !views.has(viewsKey([everything])) &&
    new TextEncoder().encode(JSON.stringify([...views.values()])).length <= sizeLimit;
  if (!fits) return [everything];
  return [...views].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, view]) => view);
}

/** Equal for views that are equal, in whatever order their members were written. */
export function viewsKey(views: readonly ViewV1[]): string {
  return JSON.stringify(views.map(canonical));
}

function canonical({ entity_type, where, fields }: ViewV1): unknown {
  return [entity_type, where?.map(comparison) ?? null, fields?.toSorted() ?? null];
}

function comparison({ attribute, operator, value }: ComparisonV1): unknown {
  return [attribute, operator, value];
}

/** What a view compares must be sent too: else nobody here could tell what matches. */
function withComparedFields({ entity_type, where, fields }: ViewV1): ViewV1 {
  const type = { entity_type, ...(where && { where }) };
  if (!fields) return type;
  const all = new Set([...fields, ...(where ?? []).map(({ attribute }) => attribute)]);
  return all.size > fieldLimit ? type : { ...type, fields: [...all].sort() };
}
