import { describe, expect, test } from "vitest";
import { renderFrames, renderReference } from "../avatar/clip.ts";
import { makeIdentity, type Identity } from "../avatar/identity.ts";
import { makeMotion } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import {
  BODY_POINTS,
  bodyIndex,
  type BodyPoint,
  HAND_POINTS,
  type Keypoint,
  type PoseKeypoints,
} from "../media/pose-keypoints.ts";
import { Random } from "../tensor/random.ts";
import { alignFrame } from "./align-frame.ts";
import { type AlignmentPlan, planAlignment } from "./alignment-plan.ts";
import { type Bone, BONES, type Limb, LIMBS } from "./body-limbs.ts";
import { BodyMeasure, jointOf, measureFrame } from "./body-measure.ts";
import type { PersonFrame } from "./person-frame.ts";

const SIZE = { width: 480, height: 832 };

function frameOf(pose: PoseKeypoints, index = 0, size = SIZE): PersonFrame {
  const depths = (hand: readonly Keypoint[]): number[] => hand.map((_, i) => i - 10);
  return {
    index,
    timeS: index / 16,
    size,
    pose,
    depths: { left: depths(pose.leftHand), right: depths(pose.rightHand) },
    numPeople: 1,
    found: { body: true, leftHand: true, rightHand: true },
  };
}

function measured(frames: readonly PersonFrame[]): BodyMeasure {
  const measure = new BodyMeasure();
  for (const frame of frames) measure.add(frame);
  return measure;
}

/** A body somewhere near the picture, or anything at all; joints missing, coinciding, without a number. */
function randomFrame(random: Random): PersonFrame {
  const isBody = random.chance(0.7);
  const scale = Math.exp(random.uniform(-2, 1));
  const [left, top] = [random.uniform(-300, 500), random.uniform(-300, 500)];
  const drop = random.uniform(0, 0.7);
  const spread = random.chance(0.05) ? 1e6 : 900;
  const point = (x: number, y: number): Keypoint => {
    const score = random.chance(drop) ? 0 : random.uniform(0.2, 1);
    if (random.chance(0.02)) return { x: Number.NaN, y, score };
    if (random.chance(0.01)) return { x, y: Number.POSITIVE_INFINITY, score };
    if (random.chance(0.05)) return { x: left, y: top, score };
    return { x, y, score };
  };
  const body = BODY_POINTS.map((name) => {
    const [x, y] = STANDING[name];
    return isBody
      ? point(left + scale * (x + random.uniform(-40, 40)), top + scale * (y + random.uniform(-40, 40)))
      : point(random.uniform(-spread, spread), random.uniform(-spread, spread));
  });
  const hand = (): Keypoint[] => {
    const [x, y] = [random.uniform(-spread, spread), random.uniform(-spread, spread)];
    return HAND_POINTS.map(() => point(x + random.uniform(-80, 80), y + random.uniform(-80, 80)));
  };
  return frameOf({ body, leftHand: hand(), rightHand: hand() });
}

/** A person of about 800 pixels. */
const STANDING: { readonly [P in BodyPoint]: readonly [x: number, y: number] } = {
  nose: [0, 0],
  neck: [0, 90],
  rightShoulder: [-80, 90],
  rightElbow: [-95, 225],
  rightWrist: [-100, 340],
  leftShoulder: [80, 90],
  leftElbow: [95, 225],
  leftWrist: [100, 340],
  rightHip: [-45, 320],
  rightKnee: [-48, 510],
  rightAnkle: [-50, 700],
  leftHip: [45, 320],
  leftKnee: [48, 510],
  leftAnkle: [50, 700],
  rightEye: [-14, -14],
  leftEye: [14, -14],
  rightEar: [-35, -8],
  leftEar: [35, -8],
  leftBigToe: [70, 740],
  leftSmallToe: [80, 735],
  leftHeel: [50, 725],
  rightBigToe: [-70, 740],
  rightSmallToe: [-80, 735],
  rightHeel: [-50, 725],
};

const numbersOf = ({ pose, depths }: PersonFrame): number[] => [
  ...[...pose.body, ...pose.leftHand, ...pose.rightHand].flatMap(({ x, y, score }) => [x, y, score]),
  ...depths.left,
  ...depths.right,
];

/** The driver comes at most twice as near as it usually is. */
const MAX_APPROACH = 2;

describe("10,000 random drivers and references", () => {
  const random = new Random(7);
  const pairs = Array.from({ length: 10_000 }, () => ({
    reference: randomFrame(random),
    frames: Array.from({ length: 1 + random.integer(3) }, () => randomFrame(random)),
  }));

  test("never give a point without a number, a bone beyond the reference's, or a joint out of reach", () => {
    const counts = { planned: 0, faulty: 0, tooLong: 0, lost: 0 };
    for (const { reference, frames } of pairs) {
      const plan = planAlignment(reference, measured(frames), "bones");
      if (!plan) continue;
      counts.planned++;
      for (const frame of frames) {
        const aligned = alignFrame(frame, plan);
        if (!numbersOf(aligned).every(Number.isFinite)) counts.faulty++;
        const isTooLong = ({ from, to, limb, reach }: Bone): boolean => {
          // Hips are drawn from the neck.
          const [a, b] = [jointOf(aligned, from === "pelvis" ? "neck" : from), jointOf(aligned, to)];
          const limit = plan.limits[limb] * reach + (from === "pelvis" ? plan.limits.trunk : 0);
          return a !== null && b !== null && distance(a, b) > MAX_APPROACH * limit + 1e-6;
        };
        if (BONES.some(isTooLong)) counts.tooLong++;
        const reach = 2 * SIZE.height + 2 * MAX_APPROACH * sumOf(plan);
        const seen = aligned.pose.body.filter(({ score }) => score > 0);
        if (seen.some(({ x, y }) => Math.abs(x) > reach || Math.abs(y) > reach)) counts.lost++;
      }
    }
    expect(counts).toEqual({ planned: expect.any(Number), faulty: 0, tooLong: 0, lost: 0 });
    expect(counts.planned).toBeGreaterThan(5000);
  });

  test("and moving and scaling as a whole gives numbers too", () => {
    for (const { reference, frames } of pairs.slice(0, 2000)) {
      const plan = planAlignment(reference, measured(frames), "frame");
      if (plan) expect(numbersOf(alignFrame(frames[0]!, plan)).every(Number.isFinite)).toBe(true);
    }
  });

  test.each([
    ["bones", 10_000],
    ["frame", 1000],
    ["auto", 1000],
  ] as const)("are left alone by %s where the driver is the reference (%i)", (mode, count) => {
    const isAligned = ({ reference }: (typeof pairs)[number]): boolean =>
      planAlignment(reference, measured([reference, reference]), mode) !== null;
    expect(pairs.slice(0, count).filter(isAligned)).toEqual([]);
  });
});

type Place = { readonly x: number; readonly y: number };

const distance = (a: Place, b: Place): number => Math.hypot(a.x - b.x, a.y - b.y);

const sumOf = ({ limits }: AlignmentPlan): number => Object.values(limits).reduce((a, b) => a + b);

/** A child of about four: a large head on short limbs. */
function child(identity: Identity): Identity {
  const body = { ...identity.body, height: 0.62, legLength: 0.8, armLength: 0.85, headSize: 1.65 };
  return { ...identity, body };
}

const FULL_BODY = { shot: "full body", span: [-0.07, 1.16] } as const;
const CLOSE_UP = { shot: "close-up", span: [0.62, 1.08] } as const;

function dancing(identity: Identity, span: typeof FULL_BODY | typeof CLOSE_UP): PersonFrame[] {
  const request = { identity, scene: { ...makeScene(3), ...span }, motion: makeMotion(5), numFrames: 24 };
  const size = { width: 96, height: 160 };
  return [...renderFrames({ ...request, ...size, fps: 4 })].map(({ keypoints }, i) =>
    frameOf(keypoints, i, size),
  );
}

function standing(identity: Identity, span: typeof FULL_BODY | typeof CLOSE_UP): PersonFrame {
  const size = { width: 96, height: 160 };
  const { keypoints } = renderReference({ identity, scene: { ...makeScene(3), ...span }, ...size });
  return frameOf(keypoints, 0, size);
}

const adult = makeIdentity(14);

describe("bones", () => {
  test("make an adult's dance a child's: its proportions, its place, its feet on its floor", () => {
    const reference = standing(child(makeIdentity(9)), FULL_BODY);
    const driver = dancing(adult, FULL_BODY);
    const plan = planAlignment(reference, measured(driver), "auto")!;
    expect(plan).toMatchObject({ mode: "bones", standsOnFloor: true });
    const aligned = driver.map((frame) => alignFrame(frame, plan));

    const [goal, result] = [measured([reference]), measured(aligned)];
    const shareOf = (body: BodyMeasure, limb: Limb): number =>
      body.proportion(limb, plan.sizeLimbs) / body.proportion("trunk", plan.sizeLimbs);
    for (const limb of LIMBS) expect(shareOf(result, limb) / shareOf(goal, limb)).toBeCloseTo(1, 1);
    expect(plan.ratios.head).toBeGreaterThan(1.2);
    expect(plan.ratios.leftThigh).toBeLessThan(0.95);
    // Each frame's lower foot is as high over the child's floor as the adult's over its own.
    const floor = measured(driver).floor()!;
    aligned.forEach((frame, i) => {
      const above = (floor - measureFrame(driver[i]!).floor!) * plan.scale;
      expect(goal.floor()! - measureFrame(frame).floor!).toBeCloseTo(above, 6);
    });
    // Directions are the driver's.
    const angle = (frame: PersonFrame): number => {
      const [a, b] = [jointOf(frame, "leftElbow")!, jointOf(frame, "leftWrist")!];
      return Math.atan2(b.y - a.y, b.x - a.x);
    };
    aligned.forEach((frame, i) => expect(angle(frame)).toBeCloseTo(angle(driver[i]!), 6));
  });

  test("scale hands and their depths with their arms", () => {
    const reference = standing(child(adult), FULL_BODY);
    const driver = dancing(adult, FULL_BODY);
    const plan = planAlignment(reference, measured(driver), "bones")!;
    const [before, after] = [driver[3]!, alignFrame(driver[3]!, plan)];
    const span = ({ leftHand }: PoseKeypoints): number => distance(leftHand[12]!, leftHand[0]!);
    const scale = plan.scale * plan.ratios.leftForearm;
    expect(span(after.pose) / span(before.pose)).toBeCloseTo(scale, 6);
    expect(after.depths.left[0]! / before.depths.left[0]!).toBeCloseTo(scale, 6);
    const wrist = (frame: PersonFrame) => frame.pose.body[bodyIndex("leftWrist")]!;
    const gap = (frame: PersonFrame): number => frame.pose.leftHand[0]!.x - wrist(frame).x;
    expect(gap(after)).toBeCloseTo(gap(before) * scale, 6);
  });

  test("give a driver that is only seen from the chest up the legs of the reference, where they stand", () => {
    const reference = standing(makeIdentity(9), FULL_BODY);
    const driver = dancing(adult, CLOSE_UP);
    const plan = planAlignment(reference, measured(driver), "auto")!;
    expect(plan).toMatchObject({ mode: "bones", root: "neck" });
    for (const frame of driver.slice(0, 8)) {
      const aligned = alignFrame(frame, plan);
      for (const name of ["leftAnkle", "rightKnee"] as const) {
        const [at, stood] = [jointOf(aligned, name), jointOf(reference, name)!];
        expect(distance(at!, stood)).toBeLessThan(0.1 * SIZE.height);
      }
    }
    expect(plan.scale).toBeLessThan(0.6);
  });

  test("let no hand float where a frame does not show the arm that it hangs on", () => {
    const reference = frameOf(standingPose());
    const unseen = (hidden: readonly BodyPoint[]): PersonFrame => {
      const pose = standingPose();
      const body = pose.body.map((point, i) =>
        hidden.includes(BODY_POINTS[i]!) ? { ...point, score: 0 } : { ...point, x: 1.3 * point.x },
      );
      return frameOf({ ...pose, body });
    };
    const noWrist = unseen(["leftWrist"]);
    const noArm = unseen(["leftWrist", "leftElbow"]);
    const plan = planAlignment(reference, measured([noWrist, noArm]), "bones")!;
    expect(plan.absent.has("leftWrist")).toBe(true);
    const scores = (frame: PersonFrame): number[] => {
      const { body } = alignFrame(frame, plan).pose;
      return (["leftElbow", "leftWrist", "rightWrist"] as const).map((name) => body[bodyIndex(name)]!.score);
    };
    expect(scores(noWrist).every((score) => score > 0.3)).toBe(true);
    expect(scores(noArm)).toEqual([0, 0, expect.closeTo(scores(noWrist)[2]!)]);
  });

  test("show of a whole driver what a close-up shows", () => {
    const reference = standing(makeIdentity(9), CLOSE_UP);
    const driver = dancing(adult, FULL_BODY);
    const plan = planAlignment(reference, measured(driver), "auto")!;
    const usual = measured(driver.map((frame) => alignFrame(frame, plan))).usual("neck")!;
    const wanted = jointOf(reference, "neck")!;
    expect(distance(usual, wanted)).toBeLessThan(3);
    expect(plan.scale).toBeGreaterThan(1.7);
  });

  test("do not believe the narrow shoulders of a side view, nor a limb that is seen on one side only", () => {
    const front = frameOf(standingPose());
    const side = frameOf(standingPose(({ x, y, score }) => ({ x: 0.1 * x, y, score })));
    const driver = measured([
      frameOf(standingPose(({ x, y, score }) => ({ x: 1.2 * x, y: 1.2 * y, score }))),
    ]);
    expect(planAlignment(side, driver, "bones")!.ratios.leftShoulder).toBe(1);
    expect(planAlignment(front, driver, "bones")!.ratios.leftShoulder).toBeCloseTo(1, 6);
    const body = front.pose.body.map((point, i) =>
      i === bodyIndex("leftWrist")
        ? { ...point, score: 0 }
        : i === bodyIndex("rightWrist")
          ? { ...point, y: point.y - 20 }
          : point,
    );
    const oneArmed = planAlignment(frameOf({ ...front.pose, body }), driver, "bones")!;
    expect(oneArmed.ratios.leftForearm).toBeCloseTo(oneArmed.ratios.rightForearm, 6);
    expect(oneArmed.ratios.leftForearm).toBeLessThan(0.9);
  });
});

function standingPose(move: (point: Keypoint) => Keypoint = (point) => point): PoseKeypoints {
  const hand = HAND_POINTS.map(() => ({ x: 0, y: 0, score: 0 }));
  const body = BODY_POINTS.map((name) => move({ x: STANDING[name][0], y: STANDING[name][1], score: 1 }));
  return { body, leftHand: hand, rightHand: hand };
}

describe("auto", () => {
  test("leaves a person alone who stands where the reference does", () => {
    expect(planAlignment(standing(adult, FULL_BODY), measured(dancing(adult, FULL_BODY)), "auto")).toBeNull();
  });

  test("gives the legs of a child to an adult's motion, though both fill the picture alike", () => {
    const driver = measured([frameOf(standingPose())]);
    // Feet stay on the floor at 740; all above the hips comes down.
    const withLegs = (share: number): PersonFrame =>
      frameOf(
        standingPose((point) => {
          const { y } = point;
          return { ...point, y: y > 320 ? 740 - share * (740 - y) : y + (1 - share) * 420 };
        }),
      );
    const isAligned = (reference: PersonFrame): boolean => planAlignment(reference, driver, "auto") !== null;
    expect(isAligned(withLegs(0.75))).toBe(true);
    expect(isAligned(withLegs(0.97))).toBe(false);
  });

  test("says that there is nothing to compare by aligning nothing", () => {
    const nobody = frameOf({
      ...standingPose((point) => ({ ...point, score: 0 })),
    });
    expect(planAlignment(nobody, measured(dancing(adult, FULL_BODY)), "bones")).toBeNull();
    expect(planAlignment(standing(adult, FULL_BODY), measured([nobody]), "bones")).toBeNull();
  });
});
