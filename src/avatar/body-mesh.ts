import type { BodyShape, Identity } from "./identity.ts";
import { CHEST, type Limb, NECK, type Skeleton } from "./kinematics.ts";
import { limbRings, type LimbShape } from "./limb-mesh.ts";
import { PART } from "./material.ts";
import type { Mesh, Ring } from "./mesh.ts";
import { type Profile, sampleProfile } from "./profile.ts";
import { addScaled, blendAxes, type Frame, mix, moved, point, smoothstep, sub, type Vec3 } from "./vector.ts";

/** Corners of tubes and rings grow with the size of the person in the picture. */
export interface Detail {
  readonly sides: (base: number) => number;
  readonly rings: (base: number) => number;
}

/** Rows [height above the hip joints, half width, front, back], for a body of height 1. */
function trunkProfile(body: BodyShape): Profile {
  const { hips, waist, chest, shoulders, bust, belly } = body;
  return [
    [-0.115, 0.05 * hips, 0.05, 0.05],
    [-0.09, 0.125 * hips, 0.085, 0.095],
    [-0.04, 0.165 * hips, 0.098, 0.118],
    [0.02, 0.17 * hips, 0.102 + 0.01 * belly, 0.118],
    [0.08, 0.152 * (hips + waist) * 0.5, 0.098 + 0.035 * belly, 0.095],
    [0.15, 0.138 * waist, 0.092 + 0.045 * belly, 0.08],
    [0.22, 0.141 * (waist + chest) * 0.5, 0.1 + 0.022 * belly + 0.012 * bust, 0.085],
    [0.285, 0.156 * chest, 0.108 + 0.038 * bust, 0.1],
    [0.32, 0.163 * chest, 0.112 + 0.044 * bust, 0.106],
    [0.365, 0.166 * chest, 0.112 + 0.02 * bust, 0.108],
    [0.41, 0.168 * chest, 0.1, 0.104],
    [0.44, 0.174 * shoulders, 0.088, 0.096],
    [0.465, 0.162 * shoulders, 0.075, 0.086],
    [0.486, 0.125 * shoulders, 0.065, 0.077],
    [0.503, 0.088, 0.058, 0.068],
    [0.52, 0.062, 0.053, 0.058],
    [0.54, 0.052, 0.049, 0.05],
  ];
}

/** Place and axes of the spine at a height above the hip joints (metres of height 1). */
function spineAt({ pelvis, chest }: Skeleton, h: number, y: number): Frame {
  const t = smoothstep(0.02, CHEST, y);
  const axes = blendAxes(pelvis, chest, t);
  const low = point(pelvis, 0, y * h, 0);
  const high = point(chest, 0, (y - CHEST) * h, 0);
  return moved(axes, mix(low, high, t));
}

/** The trunk from `top` down to `bottom`, `grow` metres larger than the skin. */
function trunkRings(
  skeleton: Skeleton,
  h: number,
  profile: Profile,
  range: { top: number; bottom: number; numRings: number; grow: number; flare?: number },
): Ring[] {
  const { top, bottom, numRings, grow } = range;
  const ring = (y: number, shrink: number): Ring => {
    const frame = spineAt(skeleton, h, y);
    const [side, front, back] = sampleProfile(profile, y);
    const extra = grow + (range.flare ?? 0) * smoothstep(0.14, bottom, y);
    const radius = (r: number) => (r * h + extra) * shrink;
    return {
      centre: frame.origin,
      a: frame.x,
      b: frame.z,
      side: radius(side!),
      front: radius(front!),
      back: radius(back!),
      v: y,
    };
  };
  const rings = [ring(top, 0)];
  for (let i = 0; i < numRings; i++) rings.push(ring(top + ((bottom - top) * i) / (numRings - 1), 1));
  rings.push(ring(bottom, 0));
  return rings;
}

const ARM_PROFILE: Profile = [
  [0, 0.041, 0.05, 0.05],
  [0.2, 0.05, 0.055, 0.055],
  [0.55, 0.043, 0.048, 0.046],
  [0.92, 0.037, 0.037, 0.039],
  [1.2, 0.04, 0.042, 0.038],
  [1.6, 0.031, 0.034, 0.031],
  [1.95, 0.02, 0.027, 0.027],
];

const LEG_PROFILE: Profile = [
  [0, 0.088, 0.088, 0.092],
  [0.25, 0.083, 0.088, 0.088],
  [0.6, 0.068, 0.074, 0.072],
  [0.95, 0.053, 0.058, 0.055],
  [1.1, 0.051, 0.053, 0.058],
  [1.35, 0.053, 0.048, 0.066],
  [1.7, 0.038, 0.037, 0.046],
  [1.95, 0.034, 0.036, 0.04],
];

function addArm(mesh: Mesh, identity: Identity, arm: Limb, handTurn: number, detail: Detail): void {
  const { body, top } = identity;
  const size = body.height * body.limbs;
  const base = { profile: ARM_PROFILE, size, turn: handTurn, startCap: "round", endCap: "flat" } as const;
  const sides = detail.sides(11);
  mesh.addTube(limbRings(arm, { ...base, from: 0, to: 1.98, numRings: detail.rings(14) }), PART.skin, {
    sides,
  });
  if (top.sleeves === "none") return;
  const sleeve: LimbShape =
    top.sleeves === "short"
      ? { ...base, from: 0, to: 0.62, numRings: detail.rings(6), grow: [0.007, 0.017] }
      : { ...base, from: 0, to: 1.9, numRings: detail.rings(14), grow: [0.008, 0.01] };
  mesh.addTube(limbRings(arm, sleeve), PART.sleeve, { sides });
}

const legSizeOf = (body: BodyShape) => body.height * (0.35 * body.limbs + 0.65 * body.hips);

function addLeg(mesh: Mesh, identity: Identity, leg: Limb, detail: Detail): void {
  const { body, bottom } = identity;
  const size = legSizeOf(body);
  const base = { profile: LEG_PROFILE, size, startCap: "round", endCap: "flat" } as const;
  const sides = detail.sides(12);
  const covered = bottom.kind === "trousers" ? 1.93 : bottom.kind === "shorts" ? 0.72 : 0;
  if (bottom.kind !== "trousers") {
    // the hips are under cloth whatever the length
    mesh.addTube(limbRings(leg, { ...base, from: 0.4, to: 1.98, numRings: detail.rings(12) }), PART.skin, {
      sides,
    });
  }
  if (covered > 0) {
    const grow = [0.006, 0.008 + bottom.flare * (covered > 1 ? 1 : 0.4)] as const;
    const numRings = detail.rings(covered > 1 ? 14 : 7);
    mesh.addTube(limbRings(leg, { ...base, from: 0, to: covered, numRings, grow }), PART.leg, { sides });
  }
}

/** A skirt hangs around both legs: each ring spans the two of them. */
function addSkirt(
  mesh: Mesh,
  identity: Identity,
  skeleton: Skeleton,
  profile: Profile,
  detail: Detail,
): void {
  const { body, bottom } = identity;
  const { pelvis, leftLeg, rightLeg } = skeleton;
  const h = body.height;
  const thigh = sub(leftLeg.middle, leftLeg.start);
  const legSize = legSizeOf(body);
  const reach = (bottom.length * h) / Math.hypot(...thigh);
  const legAt = (leg: Limb, s: number): Vec3 =>
    s < 1
      ? addScaled(leg.start, sub(leg.middle, leg.start), s)
      : addScaled(leg.middle, sub(leg.end, leg.middle), s - 1);
  const waist = trunkRings(skeleton, h, profile, {
    top: 0.13,
    bottom: 0,
    numRings: detail.rings(5),
    grow: 0.01,
  });
  const rings = waist.slice(0, -1);
  const numRings = detail.rings(8);
  for (let i = 1; i <= numRings; i++) {
    const k = i / numRings;
    const s = k * reach;
    const [left, right] = [legAt(leftLeg, s), legAt(rightLeg, s)];
    const [side, front, back] = sampleProfile(LEG_PROFILE, s);
    const apart = sub(left, right);
    const across = Math.abs(apart[0] * pelvis.x[0] + apart[1] * pelvis.x[1] + apart[2] * pelvis.x[2]) / 2;
    const deep = Math.abs(apart[0] * pelvis.z[0] + apart[1] * pelvis.z[1] + apart[2] * pelvis.z[2]) / 2;
    const extra = 0.016 + bottom.flare * k;
    // the seat gives way to the legs, but the skirt stays outside both
    const hip = sampleProfile(profile, 0);
    const seat = 1 - 0.5 * smoothstep(0, 0.7, k);
    const radius = (leg: number, hipRadius: number, spread: number) =>
      Math.max(leg * legSize + spread, hipRadius * h * seat) + extra;
    rings.push({
      centre: mix(left, right, 0.5),
      a: pelvis.x,
      b: pelvis.z,
      side: radius(side!, hip[0]!, across),
      front: radius(front!, hip[1]!, deep),
      back: radius(back!, hip[2]!, deep),
      v: -s * 0.43,
    });
  }
  rings.push({ ...rings.at(-1)!, side: 0, front: 0, back: 0 });
  mesh.addTube(rings, PART.skirt, { sides: detail.sides(20), power: 2.3 });
}

/** Rows [z from the ankle, half width, up, down], metres: heel to toes; the tube's axis is 55 mm below the ankle. */
const SHOE_PROFILE: Profile = [
  [-0.075, 0, 0, 0],
  [-0.07, 0.025, 0.025, 0.02],
  [-0.055, 0.037, 0.055, 0.03],
  [-0.02, 0.042, 0.085, 0.03],
  [0.02, 0.043, 0.082, 0.03],
  [0.06, 0.045, 0.05, 0.03],
  [0.11, 0.05, 0.032, 0.03],
  [0.15, 0.045, 0.026, 0.03],
  [0.175, 0.028, 0.015, 0.026],
  [0.185, 0, 0, 0],
];

function addShoe(mesh: Mesh, h: number, foot: Frame, detail: Detail): void {
  const numRings = detail.rings(12);
  const rings: Ring[] = [];
  for (let i = 0; i < numRings; i++) {
    const k = i / (numRings - 1);
    // denser at both ends, which are round
    const z = -0.075 + 0.26 * (0.5 - 0.5 * Math.cos(Math.PI * k));
    const [side, up, down] = sampleProfile(SHOE_PROFILE, z);
    rings.push({
      centre: point(foot, 0, -0.055 * h, z * h),
      a: foot.x,
      b: foot.y,
      side: side! * h,
      front: up! * h,
      back: down! * h,
      v: z,
    });
  }
  mesh.addTube(rings, PART.shoe, { sides: detail.sides(10), power: 2.4 });
}

/** Everything below the head but the hands. */
export function addBody(
  mesh: Mesh,
  identity: Identity,
  skeleton: Skeleton,
  detail: Detail,
  handTurns: readonly [number, number],
): void {
  const { body, top, bottom } = identity;
  const h = body.height;
  const profile = trunkProfile(body);
  const { head, neck, headRadius } = skeleton;
  const sides = detail.sides(18);
  // neck: from inside the collar into the skull
  const into = point(head, 0, -0.35 * headRadius, -0.12 * headRadius);
  const low = addScaled(neck, skeleton.chest.y, -0.05 * h);
  const axes = blendAxes(skeleton.chest, head, 0.5);
  const neckRing = (t: number, r: number): Ring => ({
    centre: mix(low, into, 1 - t),
    a: axes.x,
    b: axes.z,
    side: r * h,
    front: r * h,
    back: r * h,
    v: t,
  });
  const n = body.limbs * 0.052;
  mesh.addTube(
    [
      neckRing(0, 0),
      neckRing(0, n),
      neckRing(0.4, n * 0.98),
      neckRing(0.75, n * 1.1),
      neckRing(1, n * 1.5),
      neckRing(1, 0),
    ],
    PART.neck,
    { sides: detail.sides(12) },
  );
  // a loose top hangs over the seat and the tops of the legs
  const hem = top.tucked ? 0.07 : -0.03;
  const trunk = {
    top: NECK + 0.01,
    bottom: hem,
    numRings: detail.rings(20),
    grow: top.tucked ? 0.008 : 0.012,
    flare: top.tucked ? 0 : 0.016,
  };
  mesh.addTube(trunkRings(skeleton, h, profile, trunk), PART.trunk, { sides, power: 2.3 });
  if (bottom.kind === "skirt" || bottom.kind === "dress") {
    addSkirt(mesh, identity, skeleton, profile, detail);
  } else {
    const seat = { top: top.tucked ? 0.1 : 0.02, bottom: -0.115, numRings: detail.rings(9), grow: 0.009 };
    mesh.addTube(trunkRings(skeleton, h, profile, seat), PART.seat, { sides, power: 2.3 });
  }
  addLeg(mesh, identity, skeleton.leftLeg, detail);
  addLeg(mesh, identity, skeleton.rightLeg, detail);
  addArm(mesh, identity, skeleton.leftArm, handTurns[0], detail);
  addArm(mesh, identity, skeleton.rightArm, handTurns[1], detail);
  addShoe(mesh, h, skeleton.leftFoot, detail);
  addShoe(mesh, h, skeleton.rightFoot, detail);
}
