import { writeFile } from "node:fs/promises";
import { extname } from "node:path";
import sharp from "sharp";
import { UserError } from "../tensor/errors.ts";
import { writeAtomically } from "../files/atomic-file.ts";
import { imageFromBytes, type Image } from "./pixels.ts";
import { checkSourceFile } from "./source-file.ts";

/** Larger pictures are refused before they are decoded. */
const MAX_PIXELS = 100_000_000;

/**
 * Reads a still image of any format that sharp knows (PNG, JPEG, WebP, AVIF, GIF, TIFF, SVG): its first frame, turned
 * upright by its EXIF orientation, transparency laid over white, as sRGB.
 * Throws UserError for a file that is missing, empty, damaged, no image, or larger than 100 megapixels.
 */
export async function readImage(path: string): Promise<Image> {
  await checkSourceFile(path, "image");
  try {
    const decoder = sharp(path, { failOn: "truncated", limitInputPixels: MAX_PIXELS, autoOrient: true });
    const { width, height } = await decoder.metadata();
    if (width * height > MAX_PIXELS) throw tooLarge(path, `${width}x${height}`);
    const { data, info } = await decoder
      .flatten({ background: "white" })
      .toColorspace("srgb")
      .removeAlpha()
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    return imageFromBytes(info.width, info.height, new Uint8Array(data.buffer, data.byteOffset, data.length));
  } catch (error) {
    if (error instanceof UserError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    if (/pixel limit/.test(message)) throw tooLarge(path, "it");
    throw new UserError(
      `${path} cannot be read as an image: ${message.split("\n")[0]}; expected a whole PNG, JPEG, WebP or the like`,
      {
        cause: error,
      },
    );
  }
}

/**
 * Writes a picture as PNG or JPEG (quality 95, no colour subsampling), by the extension of `path`. The file appears
 * complete or not at all. The same picture gives the same bytes. Throws UserError for another extension and for a
 * place that cannot be written.
 */
export async function writeImage(path: string, image: Image): Promise<void> {
  const encoded = await encodeImage(image, formatOf(path));
  await writeAtomically(path, (temporary) => writeFile(temporary, encoded));
}

/** Encodes a picture in memory. */
export async function encodeImage(image: Image, format: "png" | "jpeg"): Promise<Buffer> {
  const { width, height, channels, data } = image;
  const raw = sharp(data, { raw: { width, height, channels } });
  return format === "png"
    ? raw.png().toBuffer()
    : raw.jpeg({ quality: 95, chromaSubsampling: "4:4:4" }).toBuffer();
}

function formatOf(path: string): "png" | "jpeg" {
  const extension = extname(path).toLowerCase();
  if (extension === ".png") return "png";
  if (extension === ".jpg" || extension === ".jpeg") return "jpeg";
  throw new UserError(`cannot write ${path}: its extension must be .png, .jpg or .jpeg`);
}

function tooLarge(path: string, size: string): UserError {
  return new UserError(
    `${path} is too large: ${size} has more than ${MAX_PIXELS / 1e6} megapixels; scale it down first`,
  );
}
