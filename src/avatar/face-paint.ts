import { plain, type Paint, put } from "./cloth-paint.ts";
import type { Identity } from "./identity.ts";
import { blend, type Rgb, shade } from "./palette.ts";
import { smoothstep } from "./vector.ts";

/** Places on the face in head radii from the centre of the head. */
export const EYE_X = 0.37;
export const EYE_Y = 0.06;
export const NOSE_Y = -0.22;
export const EAR_Y = -0.04;
const MOUTH_Y = -0.56;

const WHITE: Rgb = [0.97, 0.97, 0.96];
const PUPIL: Rgb = [0.04, 0.03, 0.03];

/**
 * The skin of the head with eyes, brows, mouth, cheeks and, for some, a beard: features are painted on the front
 * half, large and clear enough to survive in small pictures. `radius` is the radius of the head, metres.
 */
export function facePaint({ skin, face, hair, subject }: Identity, radius: number): Paint {
  const eyeWidth = 0.19 * face.eyeSize;
  const eyeHeight = 0.115 * face.eyeSize;
  const lash: Rgb = shade(face.brows, 0.45);
  const beard = blend(hair.colour.rgb, skin, 0.12);
  const rosy: Rgb = [Math.min(1, skin[0] * 1.03), skin[1] * 0.84, skin[2] * 0.82];
  const lashWidth = subject === "woman" ? 1.36 : 1.26;
  const skinPaint = plain(skin);

  const paintEye = (dx: number, dy: number, out: Float32Array): boolean => {
    const e = (dx / eyeWidth) ** 2 + (dy / eyeHeight) ** 2;
    if (e < 1) {
      const iris = Math.hypot(dx, dy - 0.01);
      if (Math.hypot(dx - 0.045, dy - 0.055) < 0.034) put(out, WHITE);
      else if (iris < 0.055 * face.eyeSize) put(out, PUPIL);
      else if (iris < 0.125 * face.eyeSize) put(out, face.eyes);
      else put(out, WHITE);
      return true;
    }
    if (e < (dy > -0.02 ? lashWidth ** 2 * 0.8 : 1.16)) {
      if (dy > -0.02) put(out, lash);
      else put(out, skin, 0.8);
      return true;
    }
    return false;
  };

  return (x, y, z, out) => {
    if (z < 0) return skinPaint(x, y, z, out);
    const u = x / radius;
    const v = y / radius;
    const dx = Math.abs(u) - EYE_X;
    if (Math.abs(dx) < 0.4 && paintEye(u < 0 ? -dx : dx, v - EYE_Y, out)) return;
    // brows
    const arch = v - (0.35 - 0.6 * (dx + 0.02) ** 2);
    if (Math.abs(dx) < 0.25 && Math.abs(arch) < 0.052) return put(out, face.brows);
    // mouth: two lips around a dark line that smiles
    const m = u / face.mouthWidth;
    if (Math.abs(m) < 1) {
      const line = v - (MOUTH_Y + 0.1 * face.smile * (2 * m * m - 1));
      const full = 1 - m * m;
      if (Math.abs(line) < 0.02) return put(out, shade(face.lips, 0.45));
      if (line > 0 ? line < 0.09 * full : line > -0.13 * full) return put(out, face.lips);
    }
    if (face.beard && v < -0.41 + 0.5 * u * u) return put(out, beard);
    // nostrils, then the shadow of the nose
    if (Math.hypot(Math.abs(u) - 0.075, (v + 0.33) * 1.3) < 0.042) return put(out, skin, 0.5);
    const cheek = 1 - smoothstep(0.1, 0.3, Math.hypot(Math.abs(u) - 0.47, v + 0.26));
    const under = 1 - 0.18 * (1 - smoothstep(0.05, 0.2, Math.hypot(u, 1.6 * (v + 0.36))));
    put(out, blend(skin, rosy, 0.75 * cheek), under);
  };
}
