import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import type { ProgressEvent } from "../../index.ts";
import { ProgressDisplay } from "./progress-display.ts";

function event(fraction: number, elapsedMs: number, phase: ProgressEvent["phase"] = "base"): ProgressEvent {
  return {
    type: "progress",
    phase,
    activity: "denoise",
    segment: 2,
    step: 3,
    of: 8,
    fraction,
    elapsedMs,
    remainingMs: 75_000,
  };
}

function show(isTTY: boolean, events: (ProgressEvent | string)[]): string {
  const stream = Object.assign(new PassThrough(), {
    isTTY,
    columns: 120,
    cursorTo: () => {},
    clearLine: () => {},
  });
  const display = new ProgressDisplay(stream as unknown as NodeJS.WriteStream);
  for (const entry of events) {
    display.show(typeof entry === "string" ? { type: "notice", message: entry } : entry);
  }
  display.close();
  return String(stream.read());
}

test("without a terminal: a few plain lines", () => {
  const text = show(false, [
    event(0.05, 100),
    event(0.5, 6_000),
    event(0.55, 12_000),
    "several people: the largest is followed",
    event(1, 20_000),
    event(1, 1_000, "write"),
  ]);
  expect(text.split("\n").map((line) => line.replaceAll(/ +/g, " "))).toEqual([
    "base segments 50% segment 2, denoise 3 of 8, 1 min 15 s left",
    "several people: the largest is followed",
    "base segments 100% segment 2, denoise 3 of 8, 1 min 15 s left",
    "base segments 20 s",
    "video 1.0 s",
    "",
  ]);
});

test("on a terminal: a bar per phase", () => {
  const text = show(true, [event(0.25, 100), event(0.5, 6_000)]);
  expect(text).toContain("base segments");
  expect(text).toContain("25%");
  expect(text).toContain("1 min 15 s left");
  expect(text).toMatch(/base segments +6\.0 s\n$/);
});
