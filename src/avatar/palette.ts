/** A colour, each channel in [0, 1], display (sRGB) values. */
export type Rgb = readonly [r: number, g: number, b: number];

/** A colour with the plain word a caption uses for it. */
export interface NamedColour {
  readonly name: string;
  readonly rgb: Rgb;
}

const named = (name: string, r: number, g: number, b: number): NamedColour => ({
  name,
  rgb: [r / 255, g / 255, b / 255],
});

/** Strong colours, far from the muted walls below. */
export const CLOTH: readonly NamedColour[] = [
  named("red", 205, 38, 45),
  named("orange", 238, 120, 30),
  named("yellow", 245, 205, 45),
  named("green", 35, 135, 65),
  named("turquoise", 20, 150, 150),
  named("blue", 40, 85, 205),
  named("navy", 28, 36, 88),
  named("purple", 115, 50, 160),
  named("pink", 238, 90, 150),
  named("white", 245, 245, 243),
  named("black", 34, 34, 40),
  named("maroon", 122, 22, 48),
  named("brown", 112, 66, 38),
  named("lime", 150, 205, 50),
];

export const TROUSER_CLOTH: readonly NamedColour[] = [
  named("navy", 30, 38, 82),
  named("black", 36, 36, 42),
  named("blue", 52, 86, 150),
  named("white", 238, 238, 234),
  named("brown", 108, 68, 42),
  named("maroon", 118, 26, 48),
  named("green", 44, 98, 62),
  named("purple", 86, 48, 122),
  named("red", 188, 40, 44),
  named("orange", 222, 116, 44),
];

export const SKIN: readonly Rgb[] = [
  [0.98, 0.83, 0.74],
  [0.95, 0.77, 0.65],
  [0.89, 0.69, 0.54],
  [0.78, 0.56, 0.41],
  [0.62, 0.42, 0.29],
  [0.46, 0.3, 0.21],
  [0.36, 0.23, 0.16],
];

export const HAIR: readonly NamedColour[] = [
  named("black", 28, 24, 24),
  named("dark brown", 62, 38, 24),
  named("brown", 108, 66, 36),
  named("red", 158, 68, 30),
  named("blonde", 226, 184, 96),
  named("grey", 160, 160, 164),
  named("blue", 45, 80, 190),
  named("pink", 235, 105, 165),
];

export const EYES: readonly Rgb[] = [
  [0.24, 0.13, 0.06],
  [0.12, 0.34, 0.62],
  [0.14, 0.42, 0.22],
  [0.18, 0.18, 0.2],
];

/** Muted middle tones: dark and white clothes, and every skin, stand out from them. */
export const WALL: readonly NamedColour[] = [
  named("grey blue", 142, 168, 196),
  named("pale green", 156, 186, 158),
  named("pale turquoise", 132, 182, 182),
  named("lavender", 172, 162, 204),
  named("grey", 168, 170, 174),
  named("pale blue", 166, 194, 220),
  named("mint", 164, 206, 184),
  named("sand", 200, 190, 160),
  named("slate", 112, 130, 150),
  named("sage", 134, 154, 128),
];

/** Walls of the varied world only: stronger and darker. */
export const BOLD_WALL: readonly NamedColour[] = [
  named("dark grey", 84, 88, 98),
  named("deep blue", 56, 72, 112),
  named("deep green", 58, 92, 82),
  named("plum", 104, 78, 112),
  named("rose", 206, 160, 168),
  named("terracotta", 186, 122, 98),
  named("cream", 222, 214, 194),
];

export const FLOOR: readonly NamedColour[] = [
  named("wooden", 172, 128, 84),
  named("dark wooden", 118, 82, 56),
  named("grey", 138, 138, 142),
  named("light grey", 188, 188, 184),
  named("blue grey", 104, 122, 136),
  named("beige", 192, 174, 148),
];

export const shade = (colour: Rgb, k: number): Rgb => [colour[0] * k, colour[1] * k, colour[2] * k];

export function blend(a: Rgb, b: Rgb, t: number): Rgb {
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}
