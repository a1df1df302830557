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
  const before = profile[k - 1];
  const after = profile[k + 2];
  const t2 = t * t;
  const t3 = t2 * t;
  const values: number[] = [];
  for (let c = 1; c < a.length; c++) {
    const slope = (b[c]! - a[c]!) / span;
    const m0 = before ? tangent((a[c]! - before[c]!) / (a[0]! - before[0]!), slope) * span : 0;
    const m1 = after ? tangent(slope, (after[c]! - b[c]!) / (after[0]! - b[0]!)) * span : 0;
    values.push(
      (2 * t3 - 3 * t2 + 1) * a[c]! + (t3 - 2 * t2 + t) * m0 + (3 * t2 - 2 * t3) * b[c]! + (t3 - t2) * m1,
    );
  }
  return values;
}

/** Slope at a row between two pieces: their harmonic mean, flat at a peak. */
function tangent(before: number, after: number): number {
  return before * after <= 0 ? 0 : (2 * before * after) / (before + after);
}
