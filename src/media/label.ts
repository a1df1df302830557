import type { Image, Rgb } from "./pixels.ts";

/**
 * Capital letters, digits and signs on a grid of 5 x 7, drawn without any font of the system, so that labels look
 * alike on every machine. Seven rows per letter, top first, each the five pixels of its row as a number in base 32.
 */
const GLYPHS: Readonly<Record<string, string>> = {
  A: "ehhvhhh",
  B: "uhhuhhu",
  C: "ehggghe",
  D: "uhhhhhu",
  E: "vgguggv",
  F: "vgguggg",
  G: "ehgnhhe",
  H: "hhhvhhh",
  I: "e44444e",
  J: "72222ic",
  K: "hikokih",
  L: "ggggggv",
  M: "hrllhhh",
  N: "hppljjh",
  O: "ehhhhhe",
  P: "uhhuggg",
  Q: "ehhhlid",
  R: "uhhukih",
  S: "fgge11u",
  T: "v444444",
  U: "hhhhhhe",
  V: "hhhhha4",
  W: "hhhllla",
  X: "hha4ahh",
  Y: "hha4444",
  Z: "v1248gv",
  0: "ehjlphe",
  1: "4c4444e",
  2: "eh1248v",
  3: "v2421he",
  4: "26aiv22",
  5: "vgu11he",
  6: "68guhhe",
  7: "v124888",
  8: "ehhehhe",
  9: "ehhf12c",
  ".": "00000cc",
  ",": "0000448",
  ":": "0cc0cc0",
  "-": "000v000",
  "+": "044v440",
  "=": "00v0v00",
  "/": "01248g0",
  "%": "op248j3",
  "(": "2488842",
  ")": "8422248",
  "#": "aavavaa",
  "'": "4480000",
  "!": "4444404",
  "?": "eh12404",
  _: "000000v",
  "<": "248g842",
  ">": "8421248",
  "&": "cikoljd",
};

const ROWS = 7;
const COLUMNS = 5;
/** Pixels from one letter to the next, before scaling. */
export const LETTER_ADVANCE = COLUMNS + 1;

/** Size in pixels of a line of text. */
export function textSize(text: string, scale = 1): { width: number; height: number } {
  return { width: Math.max(0, text.length * LETTER_ADVANCE - 1) * scale, height: ROWS * scale };
}

/** Writes a line of text in capitals with its top left corner at (left, top). Unknown characters leave a gap. */
export function drawText(image: Image, text: string, left: number, top: number, color: Rgb, scale = 1): void {
  [...text.toUpperCase()].forEach((letter, i) => {
    const glyph = GLYPHS[letter];
    if (glyph === undefined) return;
    for (let y = 0; y < ROWS * scale; y++) {
      const row = Number.parseInt(glyph[Math.floor(y / scale)]!, 32);
      for (let x = 0; x < COLUMNS * scale; x++) {
        const isInk = (row >> (COLUMNS - 1 - Math.floor(x / scale))) & 1;
        const [px, py] = [left + i * LETTER_ADVANCE * scale + x, top + y];
        const isInside = px >= 0 && py >= 0 && px < image.width && py < image.height;
        if (isInk && isInside) image.data.set(color, (py * image.width + px) * 3);
      }
    }
  });
}
