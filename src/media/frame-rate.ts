/** A ratio of whole numbers, as containers store rates. */
export interface Fraction {
  readonly num: number;
  readonly den: number;
}

/** The frame rate as a ratio: whole numbers and the NTSC family (n * 1000/1001) exactly, others to a thousandth. */
export function frameRateFraction(fps: number): Fraction {
  const near = (value: number) => Math.abs(value - Math.round(value)) < 1e-3;
  if (near(fps)) return { num: Math.round(fps), den: 1 };
  const ntsc = fps * 1.001;
  if (near(ntsc)) return { num: Math.round(ntsc) * 1000, den: 1001 };
  return { num: Math.round(fps * 1000), den: 1000 };
}
