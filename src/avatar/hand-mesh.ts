import type { Detail } from "./body-mesh.ts";
import { type Hand, HAND_SIZE } from "./kinematics.ts";
import { PART } from "./material.ts";
import type { Mesh, Ring } from "./mesh.ts";
import {
  add,
  addScaled,
  cross,
  mix,
  normalize,
  perpendicular,
  point,
  scale,
  sub,
  type Vec3,
} from "./vector.ts";

/** Rows [along the hand, across to the thumb, half width, half thickness] of the palm, metres. */
const PALM = [
  [-0.012, 0, 0, 0],
  [-0.01, 0, 0.021, 0.017],
  [0.015, 0.001, 0.028, 0.018],
  [0.04, 0.002, 0.037, 0.0175],
  [0.07, 0, 0.041, 0.0155],
  [0.09, -0.001, 0.039, 0.0125],
  [0.1, -0.001, 0.03, 0.007],
  [0.102, 0, 0, 0],
] as const;

/** Radii of the fingers at their four landmarks, metres, thumb first. */
const RADII = [
  [0.0155, 0.0125, 0.0115, 0.009],
  [0.0108, 0.0098, 0.009, 0.0072],
  [0.011, 0.01, 0.0092, 0.0074],
  [0.0106, 0.0095, 0.0088, 0.007],
  [0.0095, 0.0084, 0.0076, 0.0064],
] as const;

function addFinger(
  mesh: Mesh,
  points: readonly Vec3[],
  radii: readonly number[],
  across: Vec3,
  sides: number,
): void {
  const rings: Ring[] = [];
  const addRing = (centre: Vec3, axis: Vec3, r: number, v: number) => {
    const a = perpendicular(across, axis);
    rings.push({ centre, a, b: cross(axis, a), side: r, front: r, back: r, v });
  };
  const bone = (j: number) => normalize(sub(points[j + 1]!, points[j]!));
  const first = points[0]!;
  const root = addScaled(first, bone(0), -0.6 * radii[0]!);
  addRing(root, bone(0), 0, 0);
  addRing(root, bone(0), 0.8 * radii[0]!, 0);
  points.forEach((p, j) => {
    // at a knuckle the cross-section halves the angle between the two bones
    const axis = j === 0 ? bone(0) : j === 3 ? bone(2) : normalize(add(bone(j - 1), bone(j)));
    addRing(p, axis, radii[j]!, j);
    const next = points[j + 1];
    if (next) addRing(mix(p, next, 0.5), bone(j), (radii[j]! + radii[j + 1]!) * 0.485, j + 0.5);
  });
  // the landmark of the tip lies a little below the end of the finger
  for (const angle of [Math.PI / 5, Math.PI / 2.8, Math.PI / 2]) {
    const r = radii[3]!;
    const shrink = angle === Math.PI / 2 ? 0 : Math.cos(angle) * r;
    addRing(addScaled(points[3]!, bone(2), Math.sin(angle) * r), bone(2), shrink, 4);
  }
  mesh.addTube(rings, PART.hand, { sides });
}

/** Palm and five fingers. `height` is the size of the body. */
export function addHand(mesh: Mesh, hand: Hand, height: number, detail: Detail): void {
  const { frame, landmarks } = hand;
  const size = HAND_SIZE * height;
  const palm = PALM.map(([y, x, side, thick]): Ring => ({
    centre: point(frame, x * size, y * size, 0),
    a: frame.x,
    b: scale(frame.z, -1),
    side: side * size,
    front: thick * size,
    back: thick * size,
    v: y,
  }));
  mesh.addTube(palm, PART.hand, { sides: detail.sides(10), power: 2.6 });
  RADII.forEach((radii, finger) => {
    const points = landmarks.slice(1 + 4 * finger, 5 + 4 * finger);
    // the thumb looks sideways
    const across = finger === 0 ? frame.z : frame.x;
    addFinger(
      mesh,
      points,
      radii.map((r) => r * size),
      across,
      detail.sides(6),
    );
  });
}
