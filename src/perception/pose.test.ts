import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ClipFrame, renderFrames } from "../avatar/clip.ts";
import { makeIdentity } from "../avatar/identity.ts";
import { makeMotion } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import { createImage } from "../media/pixels.ts";
import { bodyPoint } from "./body-landmarks.ts";
import { maskInPicture } from "./person-mask.ts";
import { PoseTracker } from "./pose.ts";
import { ImagePyramid } from "./region.ts";

const SIZE = { width: 384, height: 576 };

describe("PoseTracker", () => {
  let tracker: PoseTracker;
  let frame: ClipFrame;
  beforeAll(async () => {
    tracker = await PoseTracker.load({ quality: "full", mask: true });
    const scene = { ...makeScene(5), shot: "full body", span: [-0.07, 1.16] } as const;
    const request = { identity: makeIdentity(5), scene, motion: makeMotion(5), numFrames: 1, ...SIZE };
    frame = renderFrames(request).next().value as ClipFrame;
  });
  afterAll(async () => tracker.release());

  it("masks the person", async () => {
    tracker.reset();
    const { body } = await tracker.next(new ImagePyramid(frame.image));
    const mask = maskInPicture(body!.mask!, SIZE);
    let [both, either] = [0, 0];
    mask.forEach((value, i) => {
      const [found, exact] = [value > 0.5, frame.mask[i]! > 127];
      if (found && exact) both++;
      if (found || exact) either++;
    });
    expect(both / either).toBeGreaterThan(0.85);
  });

  it("gives points in metres with the picture's axes", async () => {
    tracker.reset();
    const { body } = await tracker.next(new ImagePyramid(frame.image));
    const head = bodyPoint(body!.landmarks, "nose").world;
    const [left, right] = [bodyPoint(body!.landmarks, "leftHip"), bodyPoint(body!.landmarks, "rightHip")];
    // A person facing the viewer: head half a metre above the hips, the left hip on the right side of the picture.
    expect(head.y).toBeLessThan(-0.4);
    expect(head.y).toBeGreaterThan(-0.9);
    expect(left.world.x - right.world.x).toBeGreaterThan(0.1);
    expect(left.x).toBeGreaterThan(right.x);
  });

  it("follows the person without searching, and searches again when it is lost", async () => {
    tracker.reset();
    const pyramid = new ImagePyramid(frame.image);
    const first = await tracker.next(pyramid);
    const second = await tracker.next(pyramid);
    expect(second.body!.region).not.toEqual(first.body!.region);
    const shift = second.body!.landmarks.map((point, i) =>
      Math.hypot(point.x - first.body!.landmarks[i]!.x, point.y - first.body!.landmarks[i]!.y),
    );
    expect(Math.max(...shift.slice(0, 29))).toBeLessThan(12);
    const empty = await tracker.next(new ImagePyramid(createImage(384, 576, [100, 100, 100])));
    expect(empty).toEqual({ body: null, numPeople: 0 });
    expect((await tracker.next(pyramid)).body!.landmarks).toEqual(first.body!.landmarks);
  });
});
