import { memo, useLayoutEffect, useRef } from "react";
import type { Entity } from "../../live/replica.ts";
import { formatAttribute, formatScore, none } from "../../ui/format.ts";
import { toneOfChoice, toneOfHealth } from "../../ui/tone.ts";
import { ToneBar } from "../../ui/tone-bar.tsx";
import { valueOf, type Column } from "./columns.ts";

export interface EntityRowProps {
  readonly entity: Entity;
  readonly columns: readonly Column[];
}

/** Renders again only when its entity has changed, and of that only the cells that did. */
export const EntityRow = memo(function EntityRow({ entity, columns }: EntityRowProps) {
  return (
    <tr data-entity={entity.key}>
      {columns.map((column) =>
        column.name === "id" ? (
          <th key="id" scope="row" title={entity.id}>
            {entity.id}
          </th>
        ) : (
          <Cell
            key={column.name}
            column={column}
            value={valueOf(entity, column.name)}
            changedIn={entity.changedIn[column.name]}
          />
        ),
      )}
    </tr>
  );
});

interface CellProps {
  readonly column: Column;
  readonly value: string | number | undefined;
  readonly changedIn: number | undefined;
}

const Cell = memo(function Cell({ column, value, changedIn }: CellProps) {
  const flash = useFlash(changedIn);
  return (
    <td ref={flash} data-column={column.name} data-numeric={column.isNumeric || undefined}>
      <CellContent name={column.name} value={value} />
    </td>
  );
});

function CellContent({ name, value }: { name: string; value: string | number | undefined }) {
  if (value === undefined) return <span data-none>{none}</span>;
  if (name === "segment" || name === "balance_status") {
    const choice = String(value);
    return <span data-tag={toneOfChoice(choice)}>{formatAttribute(name, choice)}</span>;
  }
  if (name === "health_score" && typeof value === "number") {
    return (
      <span data-health>
        <ToneBar share={value / 100} tone={toneOfHealth(value)} />
        <span>{formatScore(value)}</span>
      </span>
    );
  }
  return formatAttribute(name, value);
}

/**
 * Marks an element each time `changedIn` becomes another number while it is mounted. Two marks take
 * turns: an animation starts again only under another name.
 */
function useFlash(changedIn: number | undefined) {
  const element = useRef<HTMLTableCellElement>(null);
  const seen = useRef(changedIn);
  useLayoutEffect(() => {
    if (seen.current === changedIn || !element.current) return;
    seen.current = changedIn;
    element.current.dataset["flash"] = element.current.dataset["flash"] === "odd" ? "even" : "odd";
  }, [changedIn]);
  return element;
}
