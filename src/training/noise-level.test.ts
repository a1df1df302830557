import { expect, test } from "vitest";
import { flowMatchSchedule } from "../diffusion/schedule.ts";
import { noiseLevels } from "./noise-level.ts";

test("uniform levels are shifted towards noise and count alike", () => {
  const at = noiseLevels(3, "uniform");
  expect(at(0)).toEqual({ sigma: 0, weight: 1 });
  expect(at(0.5)).toEqual({ sigma: 0.75, weight: 1 });
});

test("published levels are steps of the schedule, weighted by 1 on average and least where noise is all", () => {
  const at = noiseLevels(5, "published");
  const { sigmas } = flowMatchSchedule(1000, { shift: 5 });
  const levels = Array.from({ length: 1000 }, (_, i) => at((i + 0.5) / 1000));
  expect(levels.map(({ sigma }) => sigma)).toEqual([...sigmas].reverse());
  const mean = levels.reduce((sum, { weight }) => sum + weight, 0) / 1000;
  expect(mean).toBeCloseTo(1, 5);
  const middle = levels.find(({ sigma }) => sigma >= 0.5)!;
  expect(middle.weight).toBe(Math.max(...levels.map(({ weight }) => weight)));
  expect(at(0.9999).weight).toBeLessThan(0.05);
  expect(at(0).sigma).toBe(sigmas[999]);
});
