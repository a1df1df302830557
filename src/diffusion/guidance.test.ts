import { describe, expect, it } from "vitest";
import { guidanceBranches, guide, guidedVelocity } from "./guidance.ts";

describe("guidance", () => {
  it("extrapolates from the negative branch", () => {
    expect([...guide(Float32Array.of(1, 2), Float32Array.of(0, 3), 5)]).toEqual([5, -2]);
  });

  it("runs the positive branch first, and at scale 1 only that", async () => {
    for (const [scale, result] of [
      [1, 2],
      [3, 4],
      [0, 1],
    ] as const) {
      const ran: string[] = [];
      const velocity = await guidedVelocity(scale, async (branch) => {
        ran.push(branch);
        return Float32Array.of(branch === "positive" ? 2 : 1);
      });
      expect([...velocity]).toEqual([result]);
      expect(ran).toEqual(guidanceBranches(scale));
    }
    expect(guidanceBranches(1)).toEqual(["positive"]);
  });
});
