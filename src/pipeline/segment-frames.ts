/** Frames of a segment on disk, as raw RGB: interpolated segments and the result are made from exactly these bytes. */
import { type FileHandle, open } from "node:fs/promises";
import { type Image, imageFromBytes } from "../media/pixels.ts";
import { invariant } from "../tensor/errors.ts";

/** Width and height as 32-bit numbers, then frame after frame. */
const HEADER_BYTES = 8;

/** Writes frames of one size, one by one. */
export async function writeFrames(path: string, frames: AsyncIterable<Image>): Promise<void> {
  const file = await open(path, "w");
  try {
    let isEmpty = true;
    for await (const { width, height, data } of frames) {
      if (isEmpty) await file.writeFile(new Uint8Array(Uint32Array.of(width, height).buffer));
      isEmpty = false;
      await file.writeFile(data);
    }
  } finally {
    await file.close();
  }
}

/** Reads frames `from` to `to - 1`, one by one. */
export async function* readFrames(path: string, from: number, to: number): AsyncGenerator<Image> {
  const file = await open(path, "r");
  try {
    const header = await readBytes(file, HEADER_BYTES, 0);
    const [width, height] = new Uint32Array(header.buffer) as unknown as [number, number];
    const frameBytes = 3 * width * height;
    for (let i = from; i < to; i++) {
      yield imageFromBytes(width, height, await readBytes(file, frameBytes, HEADER_BYTES + i * frameBytes));
    }
  } finally {
    await file.close();
  }
}

async function readBytes(
  file: FileHandle,
  length: number,
  position: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  const { bytesRead } = await file.read(bytes, 0, length, position);
  invariant(bytesRead === length, `a file of frames ends after ${position + bytesRead} bytes`);
  return bytes;
}
