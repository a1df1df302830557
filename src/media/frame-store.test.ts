import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { temporaryPath } from "../files/atomic-file.ts";
import { inspectFrames, readFrames, writeFrames } from "./frame-store.ts";
import { createImage, type Image } from "./pixels.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-frames-"));
});
afterAll(() => rm(folder, { recursive: true }));

const frames = Array.from({ length: 5 }, (_, n) => createImage(7, 3, [n, 100 + n, 255 - n]));

async function collect(path: string, from?: number, to?: number): Promise<Image[]> {
  const images: Image[] = [];
  for await (const image of readFrames(path, from, to)) images.push(image);
  return images;
}

describe("a frame store", () => {
  it("gives back what was written, all or part, byte for byte", async () => {
    const path = join(folder, "kept.frames");
    expect(await writeFrames(path, frames)).toEqual({ width: 7, height: 3, numFrames: 5 });
    expect(await inspectFrames(path)).toEqual({ width: 7, height: 3, numFrames: 5 });
    expect(await collect(path)).toEqual(frames);
    expect(await collect(path, 1, 3)).toEqual(frames.slice(1, 3));
    expect(await collect(path, 5)).toEqual([]);
    await expect(collect(path, 2, 6)).rejects.toThrow("has no frames 2 to 6: it holds 5");
    await expect(collect(path, -1)).rejects.toThrow(UserError);
  });

  it("takes frames as they come, and keeps the old file when they fail", async () => {
    const path = join(folder, "late.frames");
    await writeFrames(path, frames.slice(0, 2));
    async function* failing() {
      yield frames[3]!;
      throw new Error("the source broke");
    }
    await expect(writeFrames(path, failing())).rejects.toThrow("the source broke");
    expect(await collect(path)).toEqual(frames.slice(0, 2));
    await expect(writeFrames(path, [])).rejects.toThrow("no frame was given");
    await expect(writeFrames(path, [frames[0]!, createImage(3, 7)])).rejects.toThrow("3x7 after 7x3");
    expect((await readdir(folder)).filter((name) => name.includes("partial"))).toEqual([]);
  });

  it("refuses other files, other versions and damage", async () => {
    const path = join(folder, "broken.frames");
    await writeFrames(path, frames);
    const whole = await readFile(path);
    const refuses = async (bytes: Buffer, message: string) => {
      await writeFile(path, bytes);
      await expect(collect(path)).rejects.toThrow(UserError);
      await expect(inspectFrames(path)).rejects.toThrow(message);
    };
    await refuses(whole.subarray(0, whole.length - 1), "damaged frame store");
    await refuses(Buffer.concat([whole, Buffer.alloc(1)]), "damaged frame store");
    await refuses(whole.subarray(0, 20), "is no frame store");
    await refuses(Buffer.from("PNG"), "is no frame store");
    await refuses(Buffer.alloc(0), "is empty");
    const patched = (at: number, value: number) => {
      const bytes = Buffer.from(whole);
      bytes.writeUInt32LE(value, at);
      return bytes;
    };
    await refuses(patched(8, 2), "version 2");
    await refuses(patched(12, 0), "damaged frame store");
    await refuses(patched(20, 4_000_000_000), "damaged frame store");
    await expect(inspectFrames(join(folder, "absent"))).rejects.toThrow("does not exist");
  });

  it.each(existsSync("/dev/full") ? ["/dev/full"] : [])("says that the disk is full (%s)", async (device) => {
    const path = join(folder, "full.frames");
    await symlink(device, temporaryPath(path));
    await expect(writeFrames(path, frames)).rejects.toThrow("the disk is full");
    expect((await readdir(folder)).filter((name) => name.includes("full"))).toEqual([]);
  });
});
