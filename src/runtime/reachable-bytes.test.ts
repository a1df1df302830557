import { expect, test } from "vitest";
import { reachableBytes } from "./reachable-bytes.ts";

/** The test runner's own. */
const NOISE_BYTES = 50_000;

test("arrays count as long as something refers to them", () => {
  const before = reachableBytes();
  const kept = [new Float32Array(250_000)];
  const withArray = reachableBytes();
  kept.pop();
  expect(Math.abs(withArray - before - 1_000_000)).toBeLessThan(NOISE_BYTES);
  expect(Math.abs(reachableBytes() - before)).toBeLessThan(NOISE_BYTES);
});

test("arrays that were handed to another thread do not count", () => {
  const { port1, port2 } = new MessageChannel();
  const before = reachableBytes();
  const array = new Float32Array(250_000);
  port1.postMessage(array, [array.buffer]);
  expect(Math.abs(reachableBytes() - before)).toBeLessThan(NOISE_BYTES);
  port1.close();
  port2.close();
});
