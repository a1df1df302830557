import { ARM_AT_REST, ARM_MOVES, type ArmPose } from "./moves.ts";
import { Random } from "../tensor/random.ts";
import { smoothstep } from "./vector.ts";

/** How hard the pictures are: `easy` for learning the first steps, `varied` for the rest. */
export type World = "easy" | "varied";

/** A foot on (or above) the floor, in leg lengths; x to the person's left, z forward; turn outward, radians. */
export interface FootPose {
  readonly x: number;
  readonly z: number;
  readonly lift: number;
  readonly turn: number;
}

/** Everything that moves. Angles in radians, distances in leg lengths, so that it fits every body. */
export interface Pose {
  /** Direction the body faces: 0 is the viewer, positive turns it to the viewer's right. */
  readonly yaw: number;
  /** Pelvis over the standing point: to the person's left, and how far the knees let it sink. */
  readonly shift: number;
  readonly sink: number;
  readonly pelvis: { readonly yaw: number; readonly roll: number; readonly pitch: number };
  readonly spine: { readonly yaw: number; readonly roll: number; readonly pitch: number };
  readonly head: { readonly yaw: number; readonly roll: number; readonly pitch: number };
  readonly leftArm: ArmPose;
  readonly rightArm: ArmPose;
  readonly leftFoot: FootPose;
  readonly rightFoot: FootPose;
}

/** A dance without beginning or end: a pose for every moment, smooth in time. */
export interface Motion {
  readonly poseAt: (timeS: number) => Pose;
}

interface Tempo {
  /** Seconds from one arm position to the next, and from one step to the next. */
  readonly moveS: readonly [number, number];
  readonly stepS: readonly [number, number];
  /** Largest turn away from the viewer, and how lively trunk and head are. */
  readonly maxYaw: number;
  readonly swing: number;
}

const TEMPO: { readonly [W in World]: Tempo } = {
  easy: { moveS: [1.15, 1.8], stepS: [1.1, 1.6], maxYaw: 0.55, swing: 0.75 },
  varied: { moveS: [0.75, 1.3], stepS: [0.7, 1.1], maxYaw: 1.2, swing: 1.15 },
};

/** Weights of the uniform cubic B-spline at `f` in [0, 1) between the second and the third of four keys. */
function splineWeights(f: number): readonly [number, number, number, number] {
  const g = 1 - f;
  return [
    (g * g * g) / 6,
    (3 * f * f * f - 6 * f * f + 4) / 6,
    (3 * g * g * g - 6 * g * g + 4) / 6,
    (f * f * f) / 6,
  ];
}

/** A smooth wandering number: a cubic B-spline through random keys in [-1, 1], one key per unit of `time`. */
function wander(random: Random, channel: string, time: number): number {
  const k = Math.floor(time);
  const stream = random.fork(channel);
  return splineWeights(time - k).reduce(
    (sum, weight, i) => sum + weight * stream.fork(k + i - 1).uniform(-1, 1),
    0,
  );
}

function blendArms(keys: readonly ArmPose[], weights: readonly number[]): ArmPose {
  const sum = (value: (key: ArmPose) => number) =>
    keys.reduce((total, key, i) => total + weights[i]! * value(key), 0);
  return {
    reach: [sum((k) => k.reach[0]), sum((k) => k.reach[1]), sum((k) => k.reach[2])],
    swivel: sum((k) => k.swivel),
    twist: sum((k) => k.twist),
    flex: sum((k) => k.flex),
    spread: sum((k) => k.spread),
    curl: [
      sum((k) => k.curl[0]),
      sum((k) => k.curl[1]),
      sum((k) => k.curl[2]),
      sum((k) => k.curl[3]),
      sum((k) => k.curl[4]),
    ],
  };
}

/** Arm positions follow one another; a phrase is symmetric, one-sided or free. */
function armsAt(random: Random, vocabulary: readonly ArmPose[], time: number): [ArmPose, ArmPose] {
  const first = Math.floor(time);
  const keys = [-1, 0, 1, 2].map((offset) => {
    const key = random.fork(first + offset);
    const one = key.choice(vocabulary);
    const other = key.chance(0.4) ? one : key.choice(vocabulary);
    return key.chance(0.5) ? [one, other] : [other, one];
  });
  const weights = splineWeights(time - first);
  return [
    blendArms(
      keys.map((key) => key[0]!),
      weights,
    ),
    blendArms(
      keys.map((key) => key[1]!),
      weights,
    ),
  ];
}

/** Feet take turns: the left one travels in even intervals, the right one in odd ones, the other one stands. */
function footAt(random: Random, side: 1 | -1, reach: number, time: number): FootPose {
  const parity = side > 0 ? 0 : 1;
  const interval = Math.floor(time);
  const moving = ((interval % 2) + 2) % 2 === parity;
  const last = moving ? interval : interval - 1;
  const place = (k: number) => {
    const key = random.fork(k);
    return {
      x: side * (0.125 + reach * key.uniform(-0.02, 0.13)),
      z: reach * key.uniform(-0.1, 0.14),
      turn: key.uniform(0.1, 0.35),
    };
  };
  const to = place(last);
  if (!moving) return { ...to, lift: 0 };
  const from = place(last - 2);
  const t = smoothstep(0.12, 0.88, time - interval);
  const distance = Math.hypot(to.x - from.x, to.z - from.z);
  return {
    x: from.x + (to.x - from.x) * t,
    z: from.z + (to.z - from.z) * t,
    turn: from.turn + (to.turn - from.turn) * t,
    lift: (0.02 * reach + 0.25 * distance) * Math.sin(Math.PI * t) ** 2,
  };
}

/**
 * A dance. Poses are defined for every time (seconds, negative too) and have continuous velocity;
 * in the easy world arms take 1.2 to 1.8 s from one position to the next and the body stays
 * within 35 degrees of the viewer. The same seed gives the same dance for every body.
 */
export function makeMotion(seed: number, world: World = "easy"): Motion {
  const random = new Random(seed).fork("motion");
  const arms = random.fork("arms");
  const steps = random.fork("steps");
  const tempo = TEMPO[world];
  const moveS = random.uniform(...tempo.moveS);
  const stepS = random.uniform(...tempo.stepS);
  const yaw = random.uniform(-1, 1) * tempo.maxYaw * 0.65;
  const stepReach = random.chance(0.25) ? 0 : random.uniform(0.5, 1);
  const sway = random.uniform(0.025, 0.07);
  const bounce = random.uniform(0.012, 0.035);
  const vocabulary = Array.from({ length: 7 }, () => random.choice(ARM_MOVES));
  const swing = tempo.swing;

  const poseAt = (timeS: number): Pose => {
    const slow = timeS / (moveS * 1.1);
    const step = timeS / stepS;
    const drift = (channel: string, size: number) => size * swing * wander(random, channel, slow);
    // weight goes to the foot that stands: the right one while the left one travels
    const weight = Math.sin(Math.PI * step);
    const [leftArm, rightArm] = armsAt(arms, vocabulary, timeS / moveS);
    const leftFoot = footAt(steps, 1, stepReach, step);
    const rightFoot = footAt(steps, -1, stepReach, step);
    const hipRoll = -0.09 * weight * swing; // the standing hip is the high one
    return {
      yaw: yaw + wander(random, "yaw", slow * 0.7) * tempo.maxYaw * 0.35,
      shift: (leftFoot.x + rightFoot.x) / 2 - sway * weight,
      sink: 0.02 + bounce * (0.5 - 0.5 * Math.cos(2 * Math.PI * step)),
      pelvis: { yaw: drift("pelvisYaw", 0.18), roll: hipRoll, pitch: 0.04 + drift("pelvisPitch", 0.05) },
      spine: {
        yaw: drift("spineYaw", 0.35),
        roll: -hipRoll * 1.4 + drift("spineRoll", 0.16),
        pitch: 0.02 + drift("spinePitch", 0.12),
      },
      head: {
        yaw: -0.6 * yaw + drift("headYaw", 0.35),
        roll: drift("headRoll", 0.2),
        pitch: 0.02 + drift("headPitch", 0.16),
      },
      leftArm,
      rightArm,
      leftFoot,
      rightFoot,
    };
  };
  return { poseAt };
}

/** Standing still and facing the viewer, arms hanging a little away from the body: what a reference image shows. */
export function makeStanding(seed: number): Motion {
  const random = new Random(seed).fork("standing");
  const still = { yaw: 0, roll: 0, pitch: 0 };
  const armAway = (): ArmPose => {
    const away = random.uniform(0.22, 0.36);
    return { ...ARM_AT_REST, reach: [away, -0.9, 0.1], twist: random.uniform(0, 0.5) };
  };
  const foot = (side: 1 | -1): FootPose => ({
    x: side * random.uniform(0.12, 0.17),
    z: 0,
    lift: 0,
    turn: 0.2,
  });
  const pose: Pose = {
    yaw: random.uniform(-0.15, 0.15),
    shift: 0,
    sink: 0.015,
    pelvis: still,
    spine: still,
    head: { yaw: random.uniform(-0.1, 0.1), roll: random.uniform(-0.05, 0.05), pitch: 0.02 },
    leftArm: armAway(),
    rightArm: armAway(),
    leftFoot: foot(1),
    rightFoot: foot(-1),
  };
  return { poseAt: () => pose };
}
