import type { Detail } from "./body-mesh.ts";
import { EAR_Y } from "./face-paint.ts";
import type { HairStyle, Identity } from "./identity.ts";
import type { Skeleton } from "./kinematics.ts";
import { PART } from "./material.ts";
import type { Mesh, Ring } from "./mesh.ts";
import { type Profile, sampleProfile } from "./profile.ts";
import { blendAxes, type Frame, mix, moved, point, smoothstep } from "./vector.ts";

/** The head in radii: rows [downwards from the centre, half width, front, back]. */
const HEAD_PROFILE: Profile = [
  [-1.14, 0, 0, 0],
  [-1.12, 0.2, 0.2, 0.24],
  [-1.04, 0.44, 0.42, 0.52],
  [-0.88, 0.66, 0.65, 0.78],
  [-0.6, 0.82, 0.84, 0.97],
  [-0.3, 0.88, 0.92, 1.03],
  [0, 0.87, 0.93, 1.0],
  [0.3, 0.83, 0.93, 0.88],
  [0.6, 0.72, 0.9, 0.7],
  [0.85, 0.55, 0.84, 0.52],
  [1.02, 0.36, 0.7, 0.36],
  [1.11, 0.18, 0.5, 0.2],
  [1.14, 0, 0, 0],
];

interface Cut {
  /** Hair beyond the skull, in radii, on top and at the sides. */
  readonly thick: number;
  /** Where it ends below the centre of the head, radii: at the sides and the back. */
  readonly bottom: number;
  /** Half of the opening for the face, radians from straight ahead. */
  readonly opening: number;
  /** Height of the hairline over the forehead, and how much lower it is on the person's left. */
  readonly line: number;
  readonly slant: number;
  /** How much wider the lower hair falls than the skull. */
  readonly fall: number;
}

const CUTS: { readonly [S in Exclude<HairStyle, "bald">]: Cut } = {
  crop: { thick: 0.07, bottom: 0.42, opening: 1.5, line: 0.62, slant: 0, fall: 0 },
  swept: { thick: 0.17, bottom: 0.4, opening: 1.38, line: 0.56, slant: 0.16, fall: 0 },
  ponytail: { thick: 0.09, bottom: 0.5, opening: 1.42, line: 0.62, slant: 0.1, fall: 0 },
  bun: { thick: 0.08, bottom: 0.5, opening: 1.42, line: 0.62, slant: 0, fall: 0 },
  bob: { thick: 0.15, bottom: 1.0, opening: 1.02, line: 0.5, slant: 0.1, fall: 0.24 },
  long: { thick: 0.13, bottom: 2.7, opening: 0.98, line: 0.55, slant: 0.08, fall: 0.2 },
  afro: { thick: 0.52, bottom: 0.62, opening: 1.12, line: 0.54, slant: 0, fall: 0.2 },
};

/**
 * Hair is a second, larger head that dives under the skin where the face opens; the two surfaces meet in the
 * hairline. Below the skull it hangs from the head and follows the chest.
 */
function addHair(mesh: Mesh, skeleton: Skeleton, cut: Cut, detail: Detail): void {
  const { head, chest, headRadius: radius } = skeleton;
  const sides = detail.sides(24);
  const numRings = detail.rings(cut.bottom > 1.5 ? 24 : 17);
  const top = -1.14 - cut.thick;
  const rings: Ring[] = [];
  const swell = new Float32Array(numRings * sides);
  const hanging = moved(blendAxes(head, chest, 0.8), head.origin);
  for (let r = 0; r < numRings; r++) {
    const k = r / (numRings - 1);
    // denser at the crown
    const y = top + (cut.bottom - top) * (0.65 * k + 0.35 * k * k);
    const skull = sampleProfile(HEAD_PROFILE, y < 0 ? (y * 1.14) / -top : Math.min(y, 0.1));
    const low = smoothstep(0.1, 1.1, y);
    const closed = r === 0 || r === numRings - 1 ? 0 : 1;
    const crown = y < -0.6 ? Math.min(1, Math.sqrt(Math.max(0, (y - top) / (-0.6 - top)))) : 1;
    const tip = 1 - 0.35 * smoothstep(cut.bottom - 0.5, cut.bottom, y);
    const grown = (value: number) =>
      (value + cut.thick * crown + cut.fall * low * 0.5) * tip * closed * radius;
    const follow = smoothstep(0.8, 2.4, y);
    // below the chin it hangs behind the shoulders and beside the neck only
    const behind = smoothstep(0.75, 1.25, y);
    const at = (frame: Frame) => point(frame, 0, -y * radius, -(0.16 * low + 0.2 * behind) * radius);
    const axes = blendAxes(head, chest, follow);
    rings.push({
      centre: mix(at(head), at(hanging), follow),
      a: axes.x,
      b: axes.z,
      side: grown(skull[0]!),
      front: grown(skull[1]!) * (1 - 0.25 * low) * (1 - 0.72 * behind),
      back: grown(skull[2]!) * (1 - 0.35 * low),
      v: -y * radius,
    });
    for (let j = 0; j < sides; j++) {
      const angle = (2 * Math.PI * (j + 0.5)) / sides;
      const ahead = Math.PI / 2 - angle; // 0 straight ahead, positive to the person's left
      const off = Math.atan2(Math.sin(ahead), Math.cos(ahead));
      const line = cut.line - cut.slant * smoothstep(-0.9, 0.9, off);
      const up = (-y - line) / 0.55; // above the hairline
      const aside = (Math.abs(off) - cut.opening) / 0.5;
      const inFace = Math.max(up + 1 - Math.sqrt(Math.max(0, 1 - (off / cut.opening) ** 2)), aside);
      // 1 in the hair, 0 under the skin
      const hair = smoothstep(-0.22, 0.12, inFace);
      const sunk = 0.86 / (1 + cut.thick);
      swell[r * sides + j] = sunk + (1 - sunk) * hair;
    }
  }
  mesh.addTube(rings, PART.hair, { sides, swell });
}

function addTail(mesh: Mesh, skeleton: Skeleton, detail: Detail): void {
  const { head, chest, headRadius: radius } = skeleton;
  const hanging = moved(blendAxes(head, chest, 0.6), head.origin);
  const numRings = detail.rings(12);
  const rings: Ring[] = [];
  for (let r = 0; r < numRings; r++) {
    const k = r / (numRings - 1);
    const y = 0.62 - 2.3 * k;
    const z = -1.05 - 0.5 * Math.sin(Math.PI * Math.min(1, 0.25 + k * 0.75));
    const thick = 0.3 * Math.sin(Math.PI * Math.min(1, 0.2 + 0.8 * k)) ** 0.7 * radius;
    const end = r === 0 || r === numRings - 1 ? 0 : 1;
    rings.push({
      centre: mix(point(head, 0, y * radius, z * radius), point(hanging, 0, y * radius, z * radius), k),
      a: head.x,
      b: head.z,
      side: thick * end * 1.1,
      front: thick * end,
      back: thick * end,
      v: y * radius,
    });
  }
  mesh.addTube(rings, PART.hair, { sides: detail.sides(10) });
  addBall(mesh, PART.hairTie, head, radius, [0, 0.6, -1.08], [0.24, 0.16, 0.24], detail.sides(8));
}

type Triple = readonly [number, number, number];

/** An ellipsoid on the head, place and radii in head radii. */
function addBall(
  mesh: Mesh,
  part: number,
  head: Frame,
  radius: number,
  at: Triple,
  size: Triple,
  sides: number,
): void {
  const frame = moved(head, point(head, at[0] * radius, at[1] * radius, at[2] * radius));
  mesh.addEllipsoid(frame, [size[0] * radius, size[1] * radius, size[2] * radius], part, sides);
}

/** The nose in head radii: rows [downwards, half width, front], from an axis inside the face. */
const NOSE_PROFILE: Profile = [
  [-0.1, 0.11, 0.11],
  [0.02, 0.14, 0.15],
  [0.14, 0.17, 0.23],
  [0.22, 0.2, 0.29],
  [0.28, 0.19, 0.27],
  [0.33, 0.12, 0.17],
  [0.36, 0.03, 0.06],
];
const NOSE_AXIS = 0.78;

/** Wide and shallow, so that its sides run out into the cheeks. */
function addNose(mesh: Mesh, size: number, { head, headRadius }: Skeleton, detail: Detail): void {
  const rings: Ring[] = [];
  const numRings = detail.rings(9);
  for (let r = 0; r < numRings; r++) {
    const y = -0.1 + (0.46 * r) / (numRings - 1);
    const [side, front] = sampleProfile(NOSE_PROFILE, y);
    rings.push({
      centre: point(head, 0, -y * headRadius, NOSE_AXIS * headRadius),
      a: head.x,
      b: head.z,
      side: side! * size * headRadius,
      front: front! * headRadius,
      back: 0.05 * headRadius,
      v: y,
    });
  }
  mesh.addTube(rings, PART.nose, { sides: detail.sides(12) });
}

/** Head, nose, ears and hair. */
export function addHead(mesh: Mesh, identity: Identity, skeleton: Skeleton, detail: Detail): void {
  const { head, headRadius: radius } = skeleton;
  const numRings = detail.rings(18);
  const rings: Ring[] = [];
  for (let r = 0; r < numRings; r++) {
    const y = -1.14 * Math.cos((Math.PI * r) / (numRings - 1));
    const [side, front, back] = sampleProfile(HEAD_PROFILE, y);
    rings.push({
      centre: point(head, 0, -y * radius, 0),
      a: head.x,
      b: head.z,
      side: side! * radius,
      front: front! * radius,
      back: back! * radius,
      v: -y * radius,
    });
  }
  mesh.addTube(rings, PART.head, { sides: detail.sides(22), power: 2.15 });
  addNose(mesh, identity.face.noseSize, skeleton, detail);
  const small = detail.sides(8);
  for (const side of [1, -1]) {
    addBall(mesh, PART.skin, head, radius, [side * 0.88, EAR_Y, -0.02], [0.1, 0.24, 0.16], small);
  }
  const { style } = identity.hair;
  if (style === "bald") return;
  addHair(mesh, skeleton, CUTS[style], detail);
  if (style === "ponytail") addTail(mesh, skeleton, detail);
  if (style === "bun")
    addBall(mesh, PART.hair, head, radius, [0, 1.12, -0.45], [0.42, 0.38, 0.42], detail.sides(12));
}
