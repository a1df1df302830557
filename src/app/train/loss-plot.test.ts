import { expect, test } from "vitest";
import type { StepReport } from "../../training/train.ts";
import { lossPlot } from "./loss-plot.ts";

const report = (step: number, loss: number): StepReport => ({
  step,
  numSteps: 3000,
  metrics: { loss },
  learningRate: 1e-3,
  gradientNorm: 1,
  durationMs: 10,
});

test("draws two lines with axes, and thins out long logs", () => {
  const short = lossPlot([1, 2, 3].map((step) => report(step, 1 / step)));
  expect(short).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  expect(short.match(/aria-label="line"/g)).toHaveLength(2);
  const long = lossPlot(Array.from({ length: 3000 }, (_, i) => report(i + 1, 1 + 1 / (i + 1))));
  expect(long.length).toBeLessThan(60_000);
});
