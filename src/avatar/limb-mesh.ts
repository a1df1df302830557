import type { Limb } from "./kinematics.ts";
import type { Ring } from "./mesh.ts";
import { type Profile, sampleProfile } from "./profile.ts";
import {
  add,
  addScaled,
  blendAxes,
  type Frame,
  length,
  mix,
  scale,
  smoothstep,
  sub,
  type Vec3,
} from "./vector.ts";

/** Half of the part of each bone that bends around the joint, in bone lengths. */
const BEND = 0.2;

/** Place and axes at `s` along a limb: 0 at its start, 1 at the middle joint, 2 at its end; negative before the start. */
function along(limb: Limb, s: number, turn: number): Frame {
  const { start, middle, end, upper, lower } = limb;
  const at = (u: number): Vec3 =>
    u < 1 ? addScaled(start, sub(middle, start), u) : addScaled(middle, sub(end, middle), u - 1);
  const near = (s - 1 + BEND) / (2 * BEND);
  let origin = at(s);
  if (near > 0 && near < 1) {
    // a quadratic curve through the bend instead of a corner
    const [a, b] = [at(1 - BEND), at(1 + BEND)];
    origin = mix(mix(a, middle, near), mix(middle, b, near), near);
  }
  const axes = blendAxes(upper, lower, smoothstep(0, 1, near));
  const angle = turn * smoothstep(1.1, 1.95, s);
  if (angle === 0) return { ...axes, origin };
  const [c, n] = [Math.cos(angle), Math.sin(angle)];
  return {
    origin,
    x: add(scale(axes.x, c), scale(axes.z, n)),
    y: axes.y,
    z: add(scale(axes.z, c), scale(axes.x, -n)),
  };
}

export interface LimbShape {
  /** Rows [s, half width, front, back] in metres; s as in `along`. */
  readonly profile: Profile;
  readonly from: number;
  readonly to: number;
  /** Rings between `from` and `to`. */
  readonly numRings: number;
  /** Added to every radius, metres, from the first to the last ring (cloth over skin). */
  readonly grow?: readonly [number, number];
  readonly size: number;
  /** Turn of the far end about the limb, radians. */
  readonly turn?: number;
  readonly startCap: "round" | "flat";
  readonly endCap: "round" | "flat";
}

/** Rings of an arm, a leg, or of the cloth around it, closed at both ends. */
export function limbRings(limb: Limb, shape: LimbShape): Ring[] {
  const { profile, from, to, numRings, size } = shape;
  const [growFrom, growTo] = shape.grow ?? [0, 0];
  const upperLength = length(sub(limb.middle, limb.start));
  const lowerLength = length(sub(limb.end, limb.middle));
  const metres = (s: number) => (s < 1 ? s * upperLength : upperLength + (s - 1) * lowerLength);
  const ring = (s: number, k: number, shrink: number, slide: number): Ring => {
    const frame = along(limb, s, shape.turn ?? 0);
    const [side, front, back] = sampleProfile(profile, s);
    const grow = growFrom + (growTo - growFrom) * k;
    const radius = (r: number) => (r * size + grow) * shrink;
    return {
      centre: addScaled(frame.origin, frame.y, slide),
      a: frame.x,
      b: frame.z,
      side: radius(side!),
      front: radius(front!),
      back: radius(back!),
      v: -metres(s),
    };
  };
  const rings: Ring[] = [];
  const cap = (s: number, k: number, end: 1 | -1, kind: "round" | "flat") => {
    const r = ring(s, k, 1, 0).side;
    const angles = kind === "flat" ? [Math.PI / 2] : [Math.PI / 6, Math.PI / 3, Math.PI / 2];
    const caps = angles.map((angle) =>
      ring(
        s,
        k,
        Math.cos(angle) < 1e-9 ? 0 : Math.cos(angle),
        -end * (kind === "flat" ? 0 : Math.sin(angle) * r),
      ),
    );
    rings.push(...(end < 0 ? caps.reverse() : caps));
  };
  cap(from, 0, -1, shape.startCap);
  for (let i = 0; i < numRings; i++) {
    const k = i / (numRings - 1);
    rings.push(ring(from + (to - from) * k, k, 1, 0));
  }
  cap(to, 1, 1, shape.endCap);
  return rings;
}
