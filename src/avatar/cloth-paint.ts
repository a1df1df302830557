import type { Cloth, Top } from "./identity.ts";
import type { Rgb } from "./palette.ts";

/**
 * Colour of a surface point from the part's own coordinates (metres: x to the person's left, y up or along the
 * limb, z to the front). Writes red, green, blue in [0, 1] to `out[0..2]`.
 */
export type Paint = (x: number, y: number, z: number, out: Float32Array) => void;

export function put(out: Float32Array, colour: Rgb, k = 1): void {
  out[0] = colour[0] * k;
  out[1] = colour[1] * k;
  out[2] = colour[2] * k;
}

export const plain =
  (colour: Rgb): Paint =>
  (_x, _y, _z, out) =>
    put(out, colour);

const isOdd = (value: number) => (Math.floor(value) & 1) === 1;

/** Where the second colour shows. Prints with one place (band, disc) lie on the trunk only. */
function secondColour(
  { pattern, pitch }: Cloth,
  trunk: boolean,
): (x: number, y: number, z: number) => boolean {
  switch (pattern) {
    case "plain":
      return () => false;
    case "stripes":
      return (_x, y) => isOdd((2 * y) / pitch);
    case "pinstripes":
      return (x) => Math.abs(x / pitch - Math.round(x / pitch)) < 0.2;
    case "checks":
      return (x, y) => isOdd((1.6 * x) / pitch) !== isOdd((1.6 * y) / pitch);
    case "dots":
      return (x, y) => {
        const row = Math.round(y / (0.5 * pitch));
        const column = x / pitch - (row & 1) / 2;
        return Math.hypot((column - Math.round(column)) * pitch, y - row * 0.5 * pitch) < 0.2 * pitch;
      };
    case "band":
      return trunk ? (_x, y) => y > 0.25 && y < 0.34 : () => false;
    case "disc":
      return trunk ? (x, y, z) => z > 0 && Math.hypot(x, y - 0.3) < 0.068 : () => false;
    case "split":
      return trunk ? (_x, y) => y > 0.3 : () => true;
  }
}

export function clothPaint(cloth: Cloth, trunk: boolean): Paint {
  const isSecond = secondColour(cloth, trunk);
  const { colour, second } = cloth;
  return (x, y, z, out) => put(out, isSecond(x, y, z) ? second.rgb : colour.rgb);
}

/** The trunk of a top: cloth with a neck opening (y is metres above the hip joints of a body of height 1). */
export function topPaint(top: Top, skin: Rgb): Paint {
  const cloth = clothPaint(top, true);
  const opening = neckOpening(top);
  return (x, y, z, out) => {
    const edge = opening(x, y, z);
    if (edge > 0) put(out, skin);
    else {
      cloth(x, y, z, out);
      // a seam beside the skin
      if (edge > -0.014) put(out, [out[0]!, out[1]!, out[2]!], 0.78);
    }
  };
}

/** Signed distance into the opening, metres; positive is skin. */
function neckOpening({ neckline, sleeves }: Top): (x: number, y: number, z: number) => number {
  const collar = (x: number, y: number, z: number): number => {
    if (z < 0 || neckline === "high") return y - 0.5;
    if (neckline === "v") return Math.max(y - 0.5, 0.6 * (y - 0.385) - 0.8 * Math.abs(x));
    return 0.085 - Math.hypot(x, y - 0.515);
  };
  if (sleeves !== "none") return collar;
  return (x, y, z) => Math.max(collar(x, y, z), 0.075 - Math.hypot(Math.abs(x) - 0.178, 0.7 * (y - 0.44)));
}
