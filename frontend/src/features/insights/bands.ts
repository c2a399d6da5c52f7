import type { Finding } from "../../live/findings.ts";

/** The bands of risk that the dashboard tells apart. A band of a later contract counts as info. */
export const bands = ["critical", "warning", "info"] as const;
export type Band = (typeof bands)[number];

export const paletteOf: Readonly<Record<Band, "error" | "warning" | "info">> = {
  critical: "error",
  warning: "warning",
  info: "info",
};

export function bandOf({ attributes }: Finding): Band {
  return bands.find((band) => band === attributes.risk_band) ?? "info";
}

export function countBands(findings: readonly Finding[]): Record<Band, number> {
  const counts = { critical: 0, warning: 0, info: 0 };
  for (const finding of findings) counts[bandOf(finding)] += 1;
  return counts;
}

const titles: Readonly<Record<string, string>> = {
  high_ib_call_frequency: "Many inbound calls",
  low_health_score: "Low health",
  supply_demand_imbalance: "Demand exceeds supply",
};

/** The prediction in words; one of a later contract by its name. */
export function titleOf({ attributes: { prediction_type: type } }: Finding): string {
  const words = type.replaceAll("_", " ");
  return titles[type] ?? words.charAt(0).toUpperCase() + words.slice(1);
}
