import { expect, test } from "vitest";
import { renderSample } from "./sample.ts";

test("the sample is a picture of one person and twelve seconds of another one dancing", () => {
  const sample = renderSample({ width: 48, height: 64 });
  expect(sample.reference).toMatchObject({ width: 48, height: 64, channels: 3 });
  expect(sample.prompt).toMatch(/^A (woman|man) /);
  const frames = [...sample.drivingFrames];
  expect(frames).toHaveLength(sample.numFrames);
  expect(sample.numFrames / sample.fps).toBeGreaterThanOrEqual(12);
  expect(frames[0]!.data).not.toEqual(frames.at(-1)!.data);
});
