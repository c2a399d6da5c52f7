/** What a value means for whoever watches it. */
export type Tone = "good" | "calm" | "watch" | "bad";

const tones: Readonly<Record<string, Tone>> = {
  thriving: "good",
  star: "good",
  balanced: "good",
  healthy: "calm",
  oversupplied: "calm",
  at_risk: "watch",
  high_demand: "watch",
  churned: "bad",
  churning: "bad",
};

/** The tone of a value of `segment` or `balance_status`; a value of a later contract is calm. */
export function toneOfChoice(value: string): Tone {
  return tones[value] ?? "calm";
}

/** Below 70 deserves a look, below 50 is critical: the bands of the health score. */
export function toneOfHealth(score: number): Tone {
  if (score < 50) return "bad";
  if (score < 70) return "watch";
  return "good";
}
