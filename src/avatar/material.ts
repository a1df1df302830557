import { clothPaint, type Paint, plain, put, topPaint } from "./cloth-paint.ts";
import { facePaint } from "./face-paint.ts";
import { blend, type Rgb, shade } from "./palette.ts";
import type { Identity } from "./identity.ts";

export interface Material {
  readonly paint: Paint;
  /** Strength of the highlight, 0..1. */
  readonly gloss: number;
}

/** Parts of a person that are painted alike; the numbers index `makeMaterials`. */
export const PART = {
  skin: 0,
  hand: 1,
  neck: 2,
  head: 3,
  nose: 4,
  hair: 5,
  hairTie: 6,
  trunk: 7,
  sleeve: 8,
  seat: 9,
  leg: 10,
  skirt: 11,
  shoe: 12,
} as const;

type Part = keyof typeof PART;

function hairPaint(colour: Rgb, radius: number): Paint {
  return (x, y, z, out) => {
    // strands run down from the crown
    const around = Math.atan2(x, z);
    const strand = Math.sin(around * 23) * 0.5 + Math.sin(around * 41 + (3 * y) / radius) * 0.5;
    put(out, colour, 1 + 0.14 * strand);
  };
}

function shoePaint(upper: Rgb, sole: Rgb, height: number): Paint {
  return (_x, _y, z, out) => put(out, z < -0.018 * height ? sole : upper);
}

/** The materials of a person, by the numbers of `PART`. `headRadius` in metres. */
export function makeMaterials(identity: Identity, headRadius: number): Material[] {
  const { skin, top, bottom, hair } = identity;
  const lower = plain(bottom.colour.rgb);
  const belt = shade(bottom.colour.rgb, 0.55);
  const seat: Paint = (x, y, z, out) => (y > 0.078 ? put(out, belt) : lower(x, y, z, out));
  const of: { readonly [P in Part]: Material } = {
    skin: { paint: plain(skin), gloss: 0.12 },
    hand: { paint: plain(blend(skin, [skin[0], skin[1] * 0.88, skin[2] * 0.86], 0.5)), gloss: 0.1 },
    neck: { paint: plain(shade(skin, 0.92)), gloss: 0.05 },
    head: { paint: facePaint(identity, headRadius), gloss: 0.12 },
    nose: { paint: plain(blend(skin, [skin[0], skin[1] * 0.9, skin[2] * 0.88], 0.5)), gloss: 0.12 },
    hair: { paint: hairPaint(hair.colour.rgb, headRadius), gloss: 0.3 },
    hairTie: { paint: plain(top.colour.rgb), gloss: 0.1 },
    trunk: { paint: topPaint(top, skin), gloss: 0.03 },
    sleeve: { paint: clothPaint(top, false), gloss: 0.03 },
    seat: { paint: seat, gloss: 0.03 },
    leg: { paint: lower, gloss: 0.03 },
    skirt: { paint: clothPaint(bottom, false), gloss: 0.03 },
    shoe: { paint: shoePaint(identity.shoes.rgb, identity.soles, identity.body.height), gloss: 0.25 },
  };
  const materials: Material[] = [];
  for (const [part, material] of Object.entries(of)) materials[PART[part as Part]] = material;
  return materials;
}
