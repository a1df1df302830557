/** A point or direction: x to the viewer's right, y up, z to the viewer, in metres. */
export type Vec3 = readonly [x: number, y: number, z: number];

/** A place with three unit axes at right angles, x cross y = z. */
export interface Frame {
  readonly origin: Vec3;
  readonly x: Vec3;
  readonly y: Vec3;
  readonly z: Vec3;
}

export const WORLD: Frame = { origin: [0, 0, 0], x: [1, 0, 0], y: [0, 1, 0], z: [0, 0, 1] };

export const add = (a: Vec3, b: Vec3): Vec3 => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
export const sub = (a: Vec3, b: Vec3): Vec3 => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
export const scale = (a: Vec3, k: number): Vec3 => [a[0] * k, a[1] * k, a[2] * k];
export const addScaled = (a: Vec3, b: Vec3, k: number): Vec3 => [
  a[0] + b[0] * k,
  a[1] + b[1] * k,
  a[2] + b[2] * k,
];
export const dot = (a: Vec3, b: Vec3): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const length = (a: Vec3): number => Math.sqrt(dot(a, a));
export const mix = (a: Vec3, b: Vec3, t: number): Vec3 => addScaled(scale(a, 1 - t), b, t);

export function cross(a: Vec3, b: Vec3): Vec3 {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

export function normalize(a: Vec3): Vec3 {
  return scale(a, 1 / Math.max(length(a), 1e-12));
}

/** The part of `a` at right angles to the unit vector `axis`, as a unit vector. */
export function perpendicular(a: Vec3, axis: Vec3): Vec3 {
  return normalize(addScaled(a, axis, -dot(a, axis)));
}

/** World direction of local coordinates. */
export function direction(frame: Frame, x: number, y: number, z: number): Vec3 {
  return [
    frame.x[0] * x + frame.y[0] * y + frame.z[0] * z,
    frame.x[1] * x + frame.y[1] * y + frame.z[1] * z,
    frame.x[2] * x + frame.y[2] * y + frame.z[2] * z,
  ];
}

/** World position of local coordinates. */
export function point(frame: Frame, x: number, y: number, z: number): Vec3 {
  return add(frame.origin, direction(frame, x, y, z));
}

export const moved = (frame: Frame, origin: Vec3): Frame => ({ ...frame, origin });

/** The frame turned about its own y (yaw), then x (pitch), then z (roll), in radians. */
export function turned(frame: Frame, turn: { pitch?: number; yaw?: number; roll?: number }): Frame {
  const [cp, sp] = [Math.cos(turn.pitch ?? 0), Math.sin(turn.pitch ?? 0)];
  const [cy, sy] = [Math.cos(turn.yaw ?? 0), Math.sin(turn.yaw ?? 0)];
  const [cr, sr] = [Math.cos(turn.roll ?? 0), Math.sin(turn.roll ?? 0)];
  // columns of R = Ry Rx Rz
  return {
    origin: frame.origin,
    x: direction(frame, cy * cr + sy * sp * sr, cp * sr, -sy * cr + cy * sp * sr),
    y: direction(frame, -cy * sr + sy * sp * cr, cp * cr, sy * sr + cy * sp * cr),
    z: direction(frame, sy * cp, -sp, cy * cp),
  };
}

/** Axes between those of `a` (t = 0) and `b` (t = 1), squared up again around y; origin of `a`. */
export function blendAxes(a: Frame, b: Frame, t: number): Frame {
  const y = normalize(mix(a.y, b.y, t));
  const x = perpendicular(mix(a.x, b.x, t), y);
  return { origin: a.origin, x, y, z: cross(x, y) };
}

/** 0 below `low`, 1 above `high`, smooth between. */
export function smoothstep(low: number, high: number, value: number): number {
  const t = Math.min(1, Math.max(0, (value - low) / (high - low)));
  return t * t * (3 - 2 * t);
}
