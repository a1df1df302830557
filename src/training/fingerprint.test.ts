import { expect, test } from "vitest";
import { describeDifference } from "./fingerprint.ts";

test("names the keys that differ, with both values", () => {
  const before = JSON.stringify({ seed: 1, learningRate: { peak: 1e-3, floor: 0 }, stages: [1] });
  const after = JSON.stringify({ seed: 1, learningRate: { peak: 2e-3, floor: 0 }, stages: [2], extra: true });
  expect(describeDifference(before, after)).toBe(
    "learningRate.peak was 0.001 and is 0.002, stages was [1] and is [2], extra was unset and is true",
  );
});

test("shows other texts as they are, shortened", () => {
  expect(describeDifference("a", "b")).toBe("it was started as a, this is b");
  expect(describeDifference("[1]", "x".repeat(200)).length).toBeLessThan(160);
});
