import type { ViewV1 } from "@contracts/zz_types.ts";
import type { Finding, Findings } from "./findings.ts";
import type { Entity, Replica } from "./replica.ts";
import { matches } from "./view.ts";

export {
  attributeKinds,
  entityTypes,
  insightKinds,
  type AttributeKind,
} from "@contracts/zz_kinds.ts";
export { matches, type Match } from "./view.ts";
export { everything } from "./watched-views.ts";

/** Picks the entities that match a view, by type and id. The same array as long as it would hold the same. */
export function entitiesIn(view: ViewV1): (replica: Replica) => readonly Entity[] {
  return keepSame(({ entities, order }) =>
    order.flatMap((key) => {
      const entity = entities.get(key);
      return entity && matches([view], entity.type, entity.attributes).matched ? entity : [];
    }),
  );
}

/** Picks the insights that match a view, the latest found first, under the same rule. */
export function findingsIn(view: ViewV1): (findings: Findings) => readonly Finding[] {
  return keepSame(({ latest }) =>
    latest.filter(({ attributes }) => matches([view], "insight", attributes).matched),
  );
}

/** Returns the array that was returned before, where the next one would not differ. */
function keepSame<S, T>(select: (source: S) => readonly T[]): (source: S) => readonly T[] {
  let kept: readonly T[] = [];
  return (source) => {
    const next = select(source);
    const isSame = next.length === kept.length && next.every((item, i) => item === kept[i]);
    if (!isSame) kept = next;
    return kept;
  };
}
