import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type ClipFrame, renderFrames } from "../avatar/clip.ts";
import { makeIdentity } from "../avatar/identity.ts";
import { makeMotion } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import { type Image, createImage } from "../media/pixels.ts";
import { BODY_POINTS } from "../media/pose-keypoints.ts";
import { UserError } from "../tensor/errors.ts";
import { analyzeFrames, analyzeVideo } from "./analyze-video.ts";
import { EMPTY_SUMMARY, type PersonFrame, addToSummary } from "./person-frame.ts";

/** Frames of a dancing avatar, whole body in the picture, with the truth. */
function dance(seed: number, numFrames: number): ClipFrame[] {
  const scene = { ...makeScene(seed), shot: "full body", span: [-0.07, 1.16] } as const;
  const motion = makeMotion(seed);
  return [
    ...renderFrames({ identity: makeIdentity(seed), scene, motion, numFrames, width: 512, height: 768 }),
  ];
}

async function analyze(
  images: readonly Image[],
  quality: "lite" | "heavy" = "heavy",
): Promise<PersonFrame[]> {
  const frames: PersonFrame[] = [];
  const source = images.map((image, i) => ({ image, timeS: i / 16 }));
  for await (const frame of analyzeFrames(() => source, { quality })) frames.push(frame);
  return frames;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** Distances of corresponding points that both know, in pixels. */
function errors(
  found: readonly PersonFrame[],
  truth: readonly ClipFrame[],
  part: "body" | "leftHand" | "rightHand",
) {
  return found.flatMap(({ pose }, f) =>
    pose[part].flatMap((point, i) => {
      const exact = truth[f]!.keypoints[part][i]!;
      const known = exact.score >= 0.7 && point.score >= (part === "body" ? 0.3 : 0.7);
      return known ? [Math.hypot(point.x - exact.x, point.y - exact.y)] : [];
    }),
  );
}

describe("analyzeFrames", () => {
  const clips = [3, 4, 8].map((seed) => dance(seed, 10));

  it("finds body and hands of rendered people near their exact joints", async () => {
    for (const truth of clips) {
      const found = await analyze(truth.map(({ image }) => image));
      const summary = found.reduce(addToSummary, EMPTY_SUMMARY);
      expect(summary).toMatchObject({ numFrames: 10, numWithBody: 10, maxPeople: 1 });
      // Pixels at 512x768, where a person is about 600 high.
      const body = errors(found, truth, "body");
      expect(median(body)).toBeLessThan(13);
      expect(body.length).toBeGreaterThan(0.75 * 10 * BODY_POINTS.length);
      for (const part of ["leftHand", "rightHand"] as const) {
        const visible = truth.filter(({ keypoints }) => keypoints[part].every(({ score }) => score >= 0.7));
        const hand = errors(found, truth, part);
        expect(hand.length).toBeGreaterThanOrEqual(0.8 * 21 * visible.length);
        if (hand.length > 0) expect(median(hand)).toBeLessThan(8);
      }
    }
  });

  it("gives the same frames every time, also when they come and are taken slowly", async () => {
    const images = clips[0]!.slice(0, 5).map(({ image }) => image);
    async function* slowly() {
      for (const [i, image] of images.entries()) {
        await pause(40 * i);
        yield { image, timeS: i / 16 };
      }
    }
    const frames: PersonFrame[] = [];
    for await (const frame of analyzeFrames(slowly, { quality: "lite" })) {
      frames.push(frame);
      await pause(30);
    }
    expect(frames).toEqual(await analyze(images, "lite"));
  });

  it("follows the largest of several people and reports how many there are", async () => {
    const [large, small] = [clips[0]![0]!.image, clips[1]![0]!.image];
    const picture = createImage(large.width * 2, large.height);
    for (let y = 0; y < large.height; y++) {
      const row = large.data.subarray(y * large.width * 3, (y + 1) * large.width * 3);
      picture.data.set(row, (2 * y + 1) * large.width * 3);
    }
    // The other one at half the size, at the left.
    for (let y = 0; y < small.height / 2; y++)
      for (let x = 0; x < small.width / 2; x++) {
        const from = (2 * y * small.width + 2 * x) * 3;
        const to = ((y + small.height / 2) * picture.width + x) * 3;
        picture.data.set(small.data.subarray(from, from + 3), to);
      }
    const [frame] = await analyze([picture]);
    expect(frame!.numPeople).toBe(2);
    expect(frame!.pose.body[1]!.x).toBeGreaterThan(large.width);
  });

  it("loses the person in an empty frame and finds it again, bridging the gap", async () => {
    const images = clips[2]!.slice(0, 6).map(({ image }) => image);
    const empty = createImage(512, 768, [120, 130, 120]);
    const frames = await analyze(images.with(2, empty).with(3, empty), "lite");
    expect(frames.map(({ found }) => found.body)).toEqual([true, true, false, false, true, true]);
    const neck = frames.map(({ pose }) => pose.body[1]!);
    expect(neck.every(({ score }) => score > 0.5)).toBe(true);
    // Smoothing bends the straight line a little.
    expect(Math.abs(neck[2]!.x - neck[1]!.x - (neck[4]!.x - neck[1]!.x) / 3)).toBeLessThan(4);
  });

  it("reports a video without people as the user's error", async () => {
    const empty = createImage(320, 240, [90, 110, 130]);
    await expect(analyze([empty, empty, empty], "lite")).rejects.toThrow(UserError);
    await expect(analyze([], "lite")).rejects.toThrow(/no person was found in the driving video/);
  });

  it("passes on what is wrong with a file, and stops when asked to", async () => {
    const missing = analyzeVideo("does/not/exist.mp4", { quality: "lite" });
    await expect(missing.next()).rejects.toThrow(UserError);
    const source = clips[0]!.map(({ image }) => ({ image, timeS: 0 }));
    const stopped = analyzeFrames(() => source, {
      quality: "lite",
      signal: AbortSignal.abort(new Error("enough")),
    });
    await expect(stopped.next()).rejects.toThrow("enough");
  });
});
