import { invariant } from "../tensor/errors.ts";

/** Rows [position, value, value, ...] with rising positions: a curve drawn through a few measured places. */
export type Profile = readonly (readonly number[])[];

/**
 * Values of a profile at `position`: a cubic through the rows that never leaves the range of the two
 * neighbouring rows (Fritsch-Carlson slopes). Clamped outside the first and last row.
 */
export function sampleProfile(profile: Profile, position: number): number[] {
  const first = profile[0];
  const last = profile.at(-1);
  invariant(first && last, "a profile has at least one row");
  if (position <= first[0]!) return first.slice(1);
  if (position >= last[0]!) return last.slice(1);
  let k = 0;
  while (profile[k + 1]![0]! < position) k++;
  const [a, b] = [profile[k]!, profile[k + 1]!];
  const span = b[0]! - a[0]!;
  const t = (position - a[0]!) / span;
  const values: number[] = [];
  for (let c = 1; c < a.length; c++) {
    const slope = (i: number) => {
      const [p, q] = [profile[i], profile[i + 1]];
      return p && q ? (q[c]! - p[c]!) / (q[0]! - p[0]!) : 0;
    };
    const tangent = (i: number) => {
      const [before, after] = [slope(i - 1), slope(i)];
      return before * after <= 0 ? 0 : (2 * before * after) / (before + after);
    };
    const [m0, m1] = [tangent(k) * span, tangent(k + 1) * span];
    const t2 = t * t;
    const t3 = t2 * t;
    values.push(
      (2 * t3 - 3 * t2 + 1) * a[c]! + (t3 - 2 * t2 + t) * m0 + (3 * t2 - 2 * t3) * b[c]! + (t3 - t2) * m1,
    );
  }
  return values;
}
