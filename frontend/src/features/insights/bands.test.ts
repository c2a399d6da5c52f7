import { expect, test } from "vitest";
import { applyInsights, noFindings, type Finding } from "../../live/findings.ts";
import { batch, finding } from "../../testing/wire.ts";
import { bandOf, countBands, titleOf } from "./bands.ts";

function found(attributes: object): Finding {
  const [only] = applyInsights(noFindings, batch(finding("stu_1", 1, attributes)), 0).latest;
  if (!only) throw new Error("it was not applied");
  return only;
}

test("what a later contract says is shown, and counts as info", () => {
  const later = found({ risk_band: "fatal", prediction_type: "silent_parent" });
  expect(bandOf(later)).toBe("info");
  expect(titleOf(later)).toBe("Silent parent");
});

test("each known band is its own, and is counted", () => {
  const all = [found({}), found({ risk_band: "warning" }), found({ risk_band: "info" }), found({})];
  expect(all.map(bandOf)).toEqual(["critical", "warning", "info", "critical"]);
  expect(countBands(all)).toEqual({ critical: 2, warning: 1, info: 1 });
  expect(all.map(titleOf)[0]).toBe("Low health");
});
