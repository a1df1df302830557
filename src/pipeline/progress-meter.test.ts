import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ProgressMeter } from "./progress-meter.ts";
import type { GenerateEvent } from "./progress.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

const denoised = { activity: "denoise", segment: 0, step: 1, of: 4 } as const;

function meterWithLog(): { meter: ProgressMeter; events: GenerateEvent[] } {
  const events: GenerateEvent[] = [];
  return { meter: new ProgressMeter((event) => events.push(event)), events };
}

test("what is left takes as long per unit of work as what was done", () => {
  const { meter, events } = meterWithLog();
  meter.begin("base", 10);
  vi.advanceTimersByTime(1000);
  meter.advance({ ...denoised, work: 2 });
  expect(events).toEqual([
    { type: "progress", phase: "base", ...denoised, fraction: 0.2, elapsedMs: 1000, remainingMs: 4000 },
  ]);
});

test("work of an earlier run is done, but no measure of speed", () => {
  const { meter, events } = meterWithLog();
  meter.begin("base", 10);
  meter.skip(6);
  vi.advanceTimersByTime(1000);
  meter.advance({ ...denoised, work: 2 });
  expect(events[0]).toMatchObject({ fraction: 0.8, remainingMs: 1000 });
});

test("nothing is foretold before anything is done", () => {
  const { meter, events } = meterWithLog();
  meter.begin("interpolate", 10);
  vi.advanceTimersByTime(1000);
  meter.advance({ ...denoised, work: 0 });
  expect(events[0]).toMatchObject({ phase: "interpolate", fraction: 0, remainingMs: null });
});

test("unforeseen work makes the phase longer", () => {
  const { meter, events } = meterWithLog();
  meter.begin("base", 10);
  meter.addWork(10);
  vi.advanceTimersByTime(1000);
  meter.advance({ ...denoised, work: 5 });
  expect(events[0]).toMatchObject({ fraction: 0.25, remainingMs: 3000 });
});
