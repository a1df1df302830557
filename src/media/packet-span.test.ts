import { expect, it } from "vitest";
import { type DeclaredLength, PacketSpan } from "./packet-span.ts";

function spanOf(
  packets: readonly (readonly [timeS: number, durationS: number])[],
  frameRate = 0,
  declared: Partial<DeclaredLength> = {},
) {
  const span = new PacketSpan();
  for (const [timeS, durationS] of packets) span.add(timeS, durationS);
  return span.result(frameRate, { streamS: 0, fileS: 0, ...declared });
}

it("spans from the first frame's start to the last one's end, in whatever order packets come", () => {
  const packets = [5, 5.3, 5.1, 5.2].map((timeS) => [timeS, 0.1] as const);
  expect(spanOf(packets)).toMatchObject({
    numFrames: 4,
    durationS: expect.closeTo(0.4),
    frameRate: expect.closeTo(10),
  });
  expect(spanOf(packets, 12).frameRate).toBe(12);
});

it("takes the mean interval for a last frame without duration, and ends where the container does", () => {
  const packets = [0, 0.1, 0.2].map((timeS) => [timeS, 0] as const);
  expect(spanOf(packets).durationS).toBeCloseTo(0.3);
  for (const declared of [{ streamS: 0.35 }, { fileS: 0.35 }]) {
    expect(spanOf([...packets, [0.3, 5]], 0, declared).durationS).toBeCloseTo(0.35);
  }
});

it("gives a last frame that is decoded early the usual time, within the length of the video", () => {
  const packets = [0, 0.1, 0.2, 0.3].map((timeS) => [timeS, 0.01] as const);
  expect(spanOf(packets, 0, { streamS: 0.38 }).durationS).toBeCloseTo(0.38);
  expect(spanOf(packets, 0, { streamS: 9 }).durationS).toBeCloseTo(0.4);
  // Sound may make a file longer.
  expect(spanOf(packets, 0, { fileS: 9 }).durationS).toBeCloseTo(0.31);
});

it("counts by the frame rate when there are no times", () => {
  const untimed = Array.from({ length: 50 }, () => [Number.NaN, 0] as const);
  expect(spanOf(untimed, 25)).toEqual({ numFrames: 50, durationS: 2, frameRate: 25 });
});

it("knows a single frame", () => {
  expect(spanOf([[0, 0.5]])).toEqual({ numFrames: 1, durationS: 0.5, frameRate: 2 });
  expect(spanOf([[0, 0]], 10)).toEqual({ numFrames: 1, durationS: 0.1, frameRate: 10 });
});
