import { expect, test } from "vitest";
import { tryBlock } from "./probe-block.ts";

test("a block on the CPU takes time and is as exact as float32", async () => {
  const { durationMs, error } = await tryBlock();
  expect(durationMs).toBeGreaterThan(0);
  expect(error).toBeGreaterThan(1e-9);
  expect(error).toBeLessThan(1e-5);
});

test("a device that is not there is refused", async () => {
  const device = process.platform === "win32" ? "coreml" : "dml";
  await expect(tryBlock({ device })).rejects.toThrow(/^cannot prepare the transformer block: /);
});
