import { describe, expect, test } from "vitest";
import { TINY_MODEL } from "../diffusion/testing.ts";
import { UserError } from "../tensor/errors.ts";
import { isWithin, numbersOf, planSharing } from "./sharing-plan.ts";

/** The published presets. */
const published = {
  dit: { ...TINY_MODEL.dit, numLayers: 40 },
  sharing: {
    "close-up": { steps: [0, 1], blocks: [34, 40] },
    "half-body": { steps: [0, 2], blocks: [34, 40] },
    "full-body": { steps: [0, 4], blocks: [32, 40] },
    distant: { steps: [0, 4], blocks: [30, 40] },
  },
} satisfies Parameters<typeof planSharing>[1];

const paper = { kvMode: "paper" } as const;

describe("planSharing", () => {
  test("takes a preset by name, or by the shot", () => {
    const named = planSharing({ kvShare: "half-body", ...paper }, published, 25, "distant");
    expect(named).toEqual({ shot: "half-body", steps: [0, 2], blocks: [34, 40], mode: "paper" });
    const found = planSharing({ kvShare: "auto", kvMode: "official" }, published, 25, "distant");
    expect(found).toEqual({ shot: "distant", steps: [0, 4], blocks: [30, 40], mode: "official" });
  });

  test("ends presets with the run, and refuses ranges beyond it or beyond the model", () => {
    expect(planSharing({ kvShare: "distant", ...paper }, published, 3, "distant")?.steps).toEqual([0, 3]);
    const ranges = (steps: [number, number], blocks: [number, number]) => () =>
      planSharing({ kvShare: { steps, blocks }, ...paper }, published, 3, "distant");
    expect(ranges([1, 3], [0, 40])()).toEqual({ shot: null, steps: [1, 3], blocks: [0, 40], mode: "paper" });
    expect(ranges([0, 4], [0, 1])).toThrow(UserError);
    expect(ranges([0, 4], [0, 1])).toThrow("kvShare.steps: got 0..4; the run has 3");
    expect(ranges([0, 1], [39, 41])).toThrow("kvShare.blocks: got 39..41; the model has 40");
  });

  test("shares nothing when told so, or by a preset without blocks", () => {
    expect(planSharing({ kvShare: "off", ...paper }, published, 25, "distant")).toBeNull();
    const none = {
      ...published,
      sharing: { ...published.sharing, distant: { steps: [0, 4], blocks: [0, 0] } },
    };
    expect(planSharing({ kvShare: "auto", ...paper }, none as typeof published, 25, "distant")).toBeNull();
  });
});

test("ranges leave their end out", () => {
  expect(numbersOf([2, 5])).toEqual([2, 3, 4]);
  expect([1, 2, 4, 5].map((step) => isWithin([2, 5], step))).toEqual([false, true, true, false]);
});
