import type { Refusal, Rejection } from "./read-frame.ts";

/** Why something that was sent, here or there, could not be used. */
export type Problem =
  /** A frame or update of the server's was left out, and counted. */
  | { readonly kind: "unusable"; readonly reason: Rejection }
  /** The server refused what is watched. It is asked again in some minutes. */
  | ({ readonly kind: "refused" } & Refusal)
  /** The API gave no ticket, or did not answer a poll. */
  | { readonly kind: "unanswered"; readonly what: "ticket" | "poll"; readonly status: number };

/** A problem in a sentence. */
export function explain(problem: Problem): string {
  switch (problem.kind) {
    case "unusable":
      return `cannot use what the server sent: ${problem.reason}. It is left out and counted.`;
    case "refused": {
      const { code, pointer, rule } = problem;
      const where = pointer === undefined ? "" : ` at ${pointer || "the whole of it"}`;
      const why = rule === undefined ? "" : ` (${rule})`;
      return `the server refused what the page asked for: ${code}${where}${why}. It is asked again in some minutes.`;
    }
    case "unanswered":
      return `no ${problem.what === "ticket" ? "ticket" : "answer to a poll"}: the API answered ${problem.status}.`;
  }
}
