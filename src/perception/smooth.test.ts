import { describe, expect, it } from "vitest";
import { UNSEEN_HAND } from "../media/pose-keypoints.ts";
import { Random } from "../tensor/random.ts";
import { UNSEEN_POSE } from "./keypoints.ts";
import type { PersonFrame } from "./person-frame.ts";
import { smoothPoses } from "./smooth.ts";

const FPS = 16;
const TRUNK = 100;

/** A body whose points all lie at `x`, but for hips a trunk's length below. */
function frameAt(index: number, x: number, cut = false): PersonFrame {
  const body = UNSEEN_POSE.body.map((_, i) => ({ x, y: i === 8 || i === 11 ? TRUNK : 0, score: 0.9 }));
  return {
    index,
    timeS: index / FPS,
    size: { width: 500, height: 500 },
    pose: { body, leftHand: UNSEEN_HAND, rightHand: UNSEEN_HAND },
    depths: { left: UNSEEN_HAND.map(() => 0), right: UNSEEN_HAND.map(() => 0) },
    numPeople: 1,
    ...(cut && { cut: true as const }),
    found: { body: true, leftHand: false, rightHand: false },
  };
}

async function smooth(frames: readonly PersonFrame[]): Promise<PersonFrame[]> {
  const out: PersonFrame[] = [];
  for await (const frame of smoothPoses(
    (async function* () {
      yield* frames;
    })(),
  ))
    out.push(frame);
  return out;
}

const smoothXs = async (xs: readonly number[]): Promise<number[]> =>
  (await smooth(xs.map((x, i) => frameAt(i, x)))).map(({ pose }) => pose.body[0]!.x);

const rms = (values: readonly number[]): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);

/** Second differences: what is seen as tremble. */
const jitter = (xs: readonly number[]): number => rms(xs.slice(2).map((x, i) => x - 2 * xs[i + 1]! + xs[i]!));

describe("smoothPoses", () => {
  it("leaves even movement as it is, from the first to the last frame", async () => {
    for (const speed of [0, 0.4, 30]) {
      const xs = Array.from({ length: 12 }, (_, i) => 50 + speed * i);
      (await smoothXs(xs)).forEach((x, i) => expect(x).toBeCloseTo(xs[i]!, 9));
    }
  });

  it("takes most of the tremble away, without delay", async () => {
    const random = new Random(1);
    const noise = Array.from({ length: 200 }, () => random.uniform(-1, 1));
    expect(jitter(await smoothXs(noise))).toBeLessThan(0.2 * jitter(noise));
    // An arm that swings once a second, 60 pixels to each side, trembling.
    const swing = noise.map((_, i) => 60 * Math.sin((2 * Math.PI * i) / FPS));
    const smoothed = await smoothXs(swing.map((x, i) => x + noise[i]!));
    const errors = smoothed.map((x, i) => x - swing[i]!).slice(4, -4);
    expect(jitter(errors)).toBeLessThan(0.45 * jitter(noise));
    // Regression of the error on the speed: the time that the result is late, in frames.
    const speeds = swing
      .map((_, i) => ((2 * Math.PI) / FPS) * 60 * Math.cos((2 * Math.PI * i) / FPS))
      .slice(4, -4);
    const late =
      -errors.reduce((sum, e, i) => sum + e * speeds[i]!, 0) / speeds.reduce((sum, s) => sum + s * s, 0);
    expect(Math.abs(late)).toBeLessThan(0.02);
    expect(rms(errors)).toBeLessThan(2);
  });

  it("rounds an abrupt stop off by less than half of a frame's way, in no more than five frames", async () => {
    for (const speed of [3, 30]) {
      const stop = Array.from({ length: 30 }, (_, i) => speed * Math.min(i, 15));
      const errors = (await smoothXs(stop)).map((x, i) => Math.abs(x - stop[i]!) / speed);
      expect(Math.max(...errors)).toBeLessThan(0.45);
      errors.forEach((error, i) => {
        if (Math.abs(i - 15) > 2) expect(error).toBeLessThan(1e-9);
      });
    }
  });

  it("takes nothing across a cut, and passes every frame on in order", async () => {
    const frames = Array.from({ length: 20 }, (_, i) => frameAt(i, i < 10 ? 0 : 100, i === 10));
    const out = await smooth(frames);
    expect(out.map(({ index }) => index)).toEqual(frames.map(({ index }) => index));
    out.forEach(({ pose }, i) => expect(pose.body[0]!.x).toBeCloseTo(i < 10 ? 0 : 100, 9));
  });

  it("does not mix unseen points in", async () => {
    const unseen = (index: number): PersonFrame => ({
      ...frameAt(index, 0),
      pose: UNSEEN_POSE,
      found: { body: false, leftHand: false, rightHand: false },
    });
    const out = await smooth([0, 1, 2, 3, 4, 5].map((i) => (i === 3 ? unseen(i) : frameAt(i, 200))));
    expect(out.map(({ pose }) => Math.round(pose.body[0]!.x))).toEqual([200, 200, 200, 0, 200, 200]);
  });
});
