import { describe, expect, test } from "vitest";
import { renderFrames } from "../avatar/clip.ts";
import { renderGroup } from "../avatar/group.ts";
import { makeIdentity } from "../avatar/identity.ts";
import { makeMotion } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import type { Image } from "../media/pixels.ts";
import { type PoseKeypoints, transformPose } from "../media/pose-keypoints.ts";
import { crop, resize } from "../media/resize.ts";
import { BackgroundWatch } from "./background-motion.ts";
import type { PersonFrame } from "./person-frame.ts";
import type { Box } from "./survey.ts";

const SIZE = { width: 128, height: 192 };
/** The larger picture is this much wider on every side. */
const MARGIN = 32;

const dance = [
  ...renderFrames({
    identity: makeIdentity(14),
    scene: { ...makeScene(3), shot: "full body", span: [-0.25, 1.35] },
    motion: makeMotion(5),
    numFrames: 10,
    width: SIZE.width + 2 * MARGIN,
    height: SIZE.height + 2 * MARGIN,
    fps: 8,
  }),
];

/** What a camera sees that looks at part of the larger picture. */
function filmed(windows: readonly { left: number; top: number; shrink?: number }[]) {
  const shots = windows.map(({ left, top, shrink = 0 }, i): { image: Image; person: PersonFrame } => {
    const { image, keypoints } = dance[i]!;
    const [width, height] = [SIZE.width - 2 * shrink, SIZE.height - 3 * shrink];
    const box = { left: MARGIN + left + shrink, top: MARGIN + top + 1.5 * shrink, width, height };
    const [scaleX, scaleY] = [SIZE.width / width, SIZE.height / height];
    const flat = keypoints.leftHand.map(() => 0);
    return {
      image: resize(crop(image, box), SIZE.width, SIZE.height),
      person: {
        index: i,
        timeS: i,
        size: SIZE,
        pose: transformPose(keypoints, { ...box, scaleX, scaleY }),
        depths: { left: flat, right: flat },
        numPeople: 1,
        found: { body: true, leftHand: true, rightHand: true },
      },
    };
  });
  const watch = new BackgroundWatch();
  return shots.map(({ image, person }) => watch.next(image, person)).slice(1);
}

const px = SIZE.height;

describe("the background's motion", () => {
  test("is none where only the person moves", () => {
    for (const { x, y, zoom, change } of filmed(dance.map(() => ({ left: 0, top: 0 })))) {
      expect(Math.hypot(x, y) * px).toBeLessThan(0.3);
      expect(Math.abs(zoom)).toBeLessThan(0.005);
      expect(change).toBeLessThan(0.01);
    }
  });

  test.each([
    ["a slow pan", 1, 0],
    ["a fast pan", -6, 0],
    ["a tilt", 0, 3],
  ])("is that of %s, against the camera's", (_, stepX, stepY) => {
    const windows = dance.map((__, i) => ({ left: stepX * (i - 4.5 + 0.5), top: stepY * (i - 4) }));
    const motions = filmed(windows);
    for (const { x, y, zoom } of motions) {
      expect(Math.abs(x * px + stepX)).toBeLessThan(0.5 + 0.1 * Math.abs(stepX));
      expect(Math.abs(y * px + stepY)).toBeLessThan(0.5 + 0.1 * Math.abs(stepY));
      expect(Math.abs(zoom)).toBeLessThan(0.02);
    }
  });

  test("is that of a zoom", () => {
    const motions = filmed(dance.map((_, i) => ({ left: 0, top: 0, shrink: 2 * Math.floor(i / 2) })));
    motions.forEach(({ zoom }, i) => {
      if (i % 2 === 0) expect(Math.abs(zoom)).toBeLessThan(0.01);
      // Four of 128 pixels fewer.
      else expect(zoom).toBeGreaterThan(0.02);
    });
  });

  test("is not that of other people, near as they may be", () => {
    // Somebody passes close to the camera, beside the person.
    const frames = [
      ...renderGroup({
        scene: { ...makeScene(3), shot: "full body", span: [-0.12, 1.3] },
        people: [
          { identity: makeIdentity(14), motion: makeMotion(5), placeAt: () => ({ x: 0.6, z: -0.4 }) },
          {
            identity: makeIdentity(6),
            motion: makeMotion(8),
            placeAt: (t) => ({ x: -1.6 + 1.2 * t, z: 0.6 }),
          },
        ],
        numFrames: 10,
        width: 288,
        height: 192,
        fps: 8,
      }),
    ];
    const watched = (isKnown: boolean): { motion: number; change: number } => {
      const watch = new BackgroundWatch();
      const motions = frames.map(({ image, people: [person, other] }, index) => {
        const flat = person!.keypoints.leftHand.map(() => 0);
        return watch.next(image, {
          index,
          timeS: index / 8,
          size: image,
          pose: person!.keypoints,
          depths: { left: flat, right: flat },
          numPeople: 2,
          ...(isKnown && { others: [boxAround(other!.keypoints)] }),
          found: { body: true, leftHand: true, rightHand: true },
        });
      });
      const along = (axis: "x" | "y"): number => motions.reduce((sum, motion) => sum + motion[axis], 0);
      return {
        motion: Math.hypot(along("x"), along("y")),
        change: motions.reduce((sum, { change }) => sum + change, 0) / motions.length,
      };
    };
    const [known, unknown] = [watched(true), watched(false)];
    expect(known.motion).toBeLessThan(0.002);
    expect(known.change).toBeLessThan(0.002);
    expect(unknown.change).toBeGreaterThan(0.012);
  });
});

function boxAround({ body }: PoseKeypoints): Box {
  const [xs, ys] = [body.map(({ x }) => x), body.map(({ y }) => y)];
  return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
}
