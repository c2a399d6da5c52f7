import { attributes as catalogue, type Attribute } from "@contracts/zz_attributes.ts";
import type { EntityType } from "@contracts/zz_types.ts";
import type { Entity } from "../../live/replica.ts";

export type Tab = "all" | EntityType;

export interface Column {
  /** An attribute's name on the wire, or `id` or `type`. */
  readonly name: string;
  readonly label: string;
  /** Stands above the label, in the columns that belong together. */
  readonly family?: string;
  /** What it means and in which unit, for whoever does not know. */
  readonly meaning: string;
  readonly isNumeric: boolean;
  /** Pixels. Fixed, so that no value can move the columns. */
  readonly width: number;
}

interface Heading {
  /** Where that of the contract is too long for a column. */
  readonly label?: string;
  readonly family?: string;
  readonly width: number;
}

const headings: Readonly<Record<string, Heading>> = {
  segment: { width: 108 },
  health_score: { width: 124 },
  churn_risk_14d: { family: "Churn risk", label: "14 days", width: 88 },
  sessions_7d: { family: "Sessions", label: "7 days", width: 80 },
  sessions_14d: { family: "Sessions", label: "14 days", width: 80 },
  sessions_30d: { family: "Sessions", label: "30 days", width: 80 },
  ib_calls_14d: { family: "Inbound calls", label: "14 days", width: 102 },
  avg_rating: { width: 76 },
  last_updated: { width: 120 },
  region: { width: 132 },
  available_tutors: { width: 84 },
  active_students: { width: 100 },
  demand_score: { width: 96 },
  supply_score: { width: 88 },
  balance_status: { width: 116 },
};

const common = [
  "segment",
  "health_score",
  "churn_risk_14d",
  "sessions_7d",
  "sessions_14d",
  "sessions_30d",
  "ib_calls_14d",
  "avg_rating",
];
const ofSubjects = [
  "region",
  "available_tutors",
  "active_students",
  "demand_score",
  "supply_score",
  "balance_status",
];

const id: Column = {
  name: "id",
  label: "Id",
  meaning: "Names the entity among those of its type",
  isNumeric: false,
  width: 132,
};
const type: Column = {
  name: "type",
  label: "Type",
  meaning: "What kind of entity this is",
  isNumeric: false,
  width: 84,
};

/** The columns of a tab. Only subjects have more than the common ones. */
export const columnsOf: Readonly<Record<Tab, readonly Column[]>> = {
  all: [id, type, ...attributeColumns("student", [...common, "last_updated"])],
  student: [id, ...attributeColumns("student", [...common, "last_updated"])],
  tutor: [id, ...attributeColumns("tutor", [...common, "last_updated"])],
  subject: [
    { ...id, width: 176 },
    ...attributeColumns("subject", [...ofSubjects, ...common, "last_updated"]),
  ],
  region: [id, ...attributeColumns("region", [...common, "last_updated"])],
};

function attributeColumns(of: EntityType, names: readonly string[]): Column[] {
  const known: Readonly<Record<string, Attribute>> = catalogue[of];
  return names.flatMap((name) => {
    const attribute = known[name];
    const heading = headings[name];
    if (!attribute || !heading) return [];
    return {
      name,
      label: heading.label ?? attribute.label,
      ...(heading.family !== undefined && { family: heading.family }),
      meaning: explain(attribute),
      isNumeric: attribute.kind === "integer" || attribute.kind === "number",
      width: heading.width,
    };
  });
}

function explain({ name, meaning, unit, kind, minimum, maximum }: Attribute): string {
  if (name === "churn_risk_14d") return `${meaning}. In per cent.`;
  if (kind === "instant") return `${meaning}. Local time.`;
  if (unit === undefined) return `${meaning}.`;
  const hasScale = kind === "number" && minimum !== undefined && maximum !== undefined;
  return `${meaning}. In ${unit}${hasScale ? `, ${minimum} to ${maximum}` : ""}.`;
}

/** What a column shows of an entity, before it is put into words. */
export function valueOf(entity: Entity, name: string): string | number | undefined {
  switch (name) {
    case "id":
      return entity.id;
    case "type":
      return entity.type;
    case "last_updated":
      return entity.attributes[name] ?? entity.writtenAt;
    default:
      return entity.attributes[name];
  }
}
