import { expect, test } from "vitest";
import { reachableBytes } from "./reachable-bytes.ts";

test("arrays count as long as something refers to them", () => {
  const before = reachableBytes();
  const kept = [new Float32Array(250_000)];
  const withArray = reachableBytes();
  kept.pop();
  const after = reachableBytes();
  // The test runner holds a few bytes of its own.
  expect(Math.abs(withArray - before - 1_000_000)).toBeLessThan(10_000);
  expect(Math.abs(after - before)).toBeLessThan(10_000);
});
