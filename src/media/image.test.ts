import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { readImage, writeImage } from "./image.ts";
import { createImage, imageFromBytes, type Image } from "./pixels.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-image-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** 40x30, smooth in red and green, one blue square at the top left. */
function sample(): Image {
  const [width, height] = [40, 30];
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data.set([x * 6, y * 8, x < 10 && y < 10 ? 255 : 0], (y * width + x) * 3);
  }
  return imageFromBytes(width, height, data);
}
const raw = { width: 40, height: 30, channels: 3 } as const;
const pixel = (image: Image, x: number, y: number) => [
  ...image.data.subarray((y * image.width + x) * 3).subarray(0, 3),
];

describe("readImage and writeImage", () => {
  it("PNG is lossless and leaves no other file", async () => {
    const inner = join(folder, "made", "on", "the", "way");
    await writeImage(join(inner, "a.png"), sample());
    expect(await readImage(join(inner, "a.png"))).toEqual(sample());
    expect(await readdir(inner)).toEqual(["a.png"]);
  });

  it("JPEG is near, and the same bytes each time", async () => {
    await writeImage(join(folder, "a.jpg"), sample());
    await writeImage(join(folder, "b.jpeg"), sample());
    expect(await readFile(join(folder, "a.jpg"))).toEqual(await readFile(join(folder, "b.jpeg")));
    const image = await readImage(join(folder, "a.jpg"));
    expect(image.width).toBe(40);
    expect(Math.abs(pixel(image, 30, 20)[0]! - 180)).toBeLessThan(6);
  });

  it("turns pictures upright by their EXIF orientation", async () => {
    const path = join(folder, "turned.png");
    await sharp(sample().data, { raw }).withMetadata({ orientation: 6 }).png().toFile(path);
    const image = await readImage(path);
    expect([image.width, image.height]).toEqual([30, 40]);
    // Orientation 6: shown after a quarter turn clockwise, so the marked corner moves to the top right.
    expect(pixel(image, 29, 0)).toEqual([0, 0, 255]);
  });

  it("lays transparency over white, and spreads grey and 16 bits to 8-bit RGB", async () => {
    const clear = sharp({
      create: { width: 4, height: 4, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0.5 } },
    });
    await clear.png().toFile(join(folder, "alpha.png"));
    expect(pixel(await readImage(join(folder, "alpha.png")), 1, 1)).toEqual([127, 127, 127]);
    await sharp(sample().data, { raw }).toColourspace("rgb16").png().toFile(join(folder, "deep.png"));
    expect(await readImage(join(folder, "deep.png"))).toEqual(sample());
    const grey = sharp(createImage(4, 4, [80, 80, 80]).data, { raw: { width: 4, height: 4, channels: 3 } });
    await grey.toColourspace("b-w").png().toFile(join(folder, "grey.png"));
    expect(await readImage(join(folder, "grey.png"))).toEqual(createImage(4, 4, [80, 80, 80]));
  });
});

describe("what cannot be read is one UserError", () => {
  const refuses = async (path: string, message: RegExp) => {
    const failure: unknown = await readImage(path).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UserError);
    expect(String(failure)).toMatch(message);
  };

  it("missing, a folder, empty, no image", async () => {
    await refuses(join(folder, "none.png"), /none\.png does not exist/);
    await refuses(folder, /is no file/);
    await writeFile(join(folder, "empty.png"), "");
    await refuses(join(folder, "empty.png"), /is empty/);
    await writeFile(join(folder, "text.png"), "not an image at all");
    await refuses(join(folder, "text.png"), /cannot be read as an image/);
  });

  it.each(["png", "jpeg", "webp"] as const)("truncated %s", async (format) => {
    const noise = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 251);
    const whole = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
      .toFormat(format)
      .toBuffer();
    const path = join(folder, `cut.${format}`);
    await writeFile(path, whole.subarray(0, whole.length >> 1));
    await refuses(path, /cannot be read as an image/);
  });

  it("absurd sizes, before decoding", async () => {
    const path = join(folder, "huge.svg");
    await writeFile(path, `<svg xmlns="http://www.w3.org/2000/svg" width="20000" height="20000"/>`);
    await refuses(path, /more than 100 megapixels/);
    // A PNG that only claims its size: signature and header are enough to refuse it.
    const png = await sharp(createImage(1, 1).data, { raw: { width: 1, height: 1, channels: 3 } })
      .png()
      .toBuffer();
    png.writeUInt32BE(60000, 16);
    png.writeUInt32BE(60000, 20);
    await writeFile(join(folder, "claim.png"), png);
    await refuses(join(folder, "claim.png"), /more than 100 megapixels|cannot be read/);
  });
});

describe("what cannot be written is one UserError", () => {
  it("another extension, a place that is no folder", async () => {
    await expect(writeImage(join(folder, "a.bmp"), sample())).rejects.toThrow(UserError);
    await writeFile(join(folder, "file"), "x");
    await expect(writeImage(join(folder, "file", "a.png"), sample())).rejects.toThrow(UserError);
  });
});
