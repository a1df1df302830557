import { expect, test } from "vitest";
import { makeIdentity } from "./identity.ts";
import { type Joints3d, jointsOf } from "./keypoints.ts";
import { ANKLE_HEIGHT, type Skeleton, solveSkeleton } from "./kinematics.ts";
import { makeMotion, type World } from "./motion.ts";
import { sub, type Vec3 } from "./vector.ts";

const FPS = 16;
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const length = (v: Vec3) => Math.hypot(...v);
const pointsOf = ({ body, leftHand, rightHand }: Joints3d) => [...body, ...leftHand, ...rightHand];

function skeletons(seed: number, world: World, numFrames = 20 * FPS): Skeleton[] {
  const { body } = makeIdentity(seed);
  const motion = makeMotion(seed, world);
  return Array.from({ length: numFrames }, (_, f) => solveSkeleton(body, motion.poseAt(f / FPS)));
}

test.each([
  ["easy", 1.2, 10],
  ["varied", 2.2, 30],
] as const)("joints of the %s world stay under %f m/s and %f m/s²", (world, maxSpeed, maxAcceleration) => {
  let [fastest, hardest] = [0, 0];
  for (const seed of SEEDS) {
    const frames = skeletons(seed, world).map((skeleton) => pointsOf(jointsOf(skeleton)));
    for (let f = 2; f < frames.length; f++) {
      frames[f]!.forEach((now, i) => {
        const velocity = sub(now, frames[f - 1]![i]!);
        const before = sub(frames[f - 1]![i]!, frames[f - 2]![i]!);
        fastest = Math.max(fastest, length(velocity) * FPS);
        hardest = Math.max(hardest, length(sub(velocity, before)) * FPS * FPS);
      });
    }
  }
  expect(fastest).toBeLessThan(maxSpeed);
  expect(hardest).toBeLessThan(maxAcceleration);
});

test("dancers do move: wrists travel metres in twenty seconds", () => {
  for (const seed of SEEDS) {
    const wrists = skeletons(seed, "easy").map((skeleton) => skeleton.leftArm.end);
    const path = wrists.reduce((sum, p, f) => sum + (f > 0 ? length(sub(p, wrists[f - 1]!)) : 0), 0);
    expect(path).toBeGreaterThan(1);
  }
});

test("the easy world turns no further than 35 degrees from the viewer", () => {
  for (const seed of SEEDS) {
    const motion = makeMotion(seed);
    for (let t = 0; t < 60; t += 0.25)
      expect(Math.abs(motion.poseAt(t).yaw)).toBeLessThan((35 * Math.PI) / 180);
  }
});

test("bones keep their lengths, in every motion", () => {
  const { body } = makeIdentity(3);
  const lengths = [1, 2, 3].flatMap((seed) =>
    [0, 1.3, 2.9, 7.7].map((t) => {
      const { leftArm, rightLeg, leftHand } = solveSkeleton(body, makeMotion(seed, "varied").poseAt(t));
      const [knuckle, joint] = [leftHand.landmarks[5]!, leftHand.landmarks[6]!];
      return [
        length(sub(leftArm.start, leftArm.middle)),
        length(sub(leftArm.middle, leftArm.end)),
        length(sub(rightLeg.start, rightLeg.middle)),
        length(sub(rightLeg.middle, rightLeg.end)),
        length(sub(knuckle, joint)),
      ];
    }),
  );
  for (const row of lengths) row.forEach((value, i) => expect(value).toBeCloseTo(lengths[0]![i]!, 6));
});

test("feet stand on the floor and one of them always does", () => {
  for (const seed of SEEDS) {
    const floor = ANKLE_HEIGHT * makeIdentity(seed).body.height;
    for (const { leftFoot, rightFoot } of skeletons(seed, "easy")) {
      const heights = [leftFoot.origin[1], rightFoot.origin[1]];
      expect(Math.min(...heights)).toBeCloseTo(floor, 2);
      expect(Math.max(...heights)).toBeLessThan(floor + 0.15);
    }
  }
});

test("a motion is defined before its zero and far from it", () => {
  const motion = makeMotion(4);
  for (const t of [-12.34, 0, 3600]) {
    const points = pointsOf(jointsOf(solveSkeleton(makeIdentity(4).body, motion.poseAt(t))));
    expect(points.flat().every(Number.isFinite)).toBe(true);
  }
});
