/** A sheet of pictures in a run's folder. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeImage } from "../../media/image.ts";
import type { Image } from "../../media/pixels.ts";
import { contactSheet } from "../evaluate/contact-sheet.ts";

export interface Sheet {
  readonly step: number;
  readonly path: string;
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Writes rows of pictures as `samples/step-NNNNNNNN.png`. */
export async function writeSheet(folder: string, step: number, rows: readonly Image[]): Promise<Sheet> {
  const sheet = contactSheet(rows);
  const path = join(folder, "samples", `step-${String(step).padStart(8, "0")}.png`);
  const png = await encodeImage(sheet, "png");
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, png);
  return { step, path, png, width: sheet.width, height: sheet.height };
}
