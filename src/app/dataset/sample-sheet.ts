/** Pictures of stored clips, as their VAE decodes them. */
import { blit } from "../../media/draw.ts";
import { type Image, createImage } from "../../media/pixels.ts";
import { float32 } from "../../tensor/tensor.ts";
import type { ClipDataset } from "../../training/dataset.ts";
import type { OpenedEncoders } from "./encoders.ts";

/** Times of the shown frames, as shares of the clip. */
const TIMES = [0, 0.33, 0.66, 1];

const GAP = 4;

/** The reference, then rows of frames: the video, its skeletons, its hand normals. */
export async function sampleSheet(
  dataset: ClipDataset,
  index: number,
  { vae }: Pick<OpenedEncoders, "vae">,
): Promise<Image> {
  const clip = await dataset.clip(index);
  const decode = async (latents: Float32Array, shape: readonly number[]): Promise<Image[]> => {
    const frames: Image[] = [];
    for await (const frame of vae.decode(float32(latents, [1, ...shape]))) frames.push(frame);
    return frames;
  };
  const [channels, h, w] = dataset.shapes.reference;
  const [reference] = await decode(clip.reference, [channels!, 1, h!, w!]);
  const rows: Image[][] = [];
  for (const field of ["video", "pose", "hand"] as const) {
    const frames = await decode(clip[field], dataset.shapes[field]);
    rows.push(TIMES.map((share) => frames[Math.round(share * (frames.length - 1))]!));
  }
  return layOut(reference!, rows);
}

function layOut(reference: Image, rows: readonly (readonly Image[])[]): Image {
  const { width, height } = reference;
  const [stepX, stepY] = [width + GAP, height + GAP];
  const sheet = createImage((1 + TIMES.length) * stepX - GAP, rows.length * stepY - GAP, [255, 255, 255]);
  blit(sheet, reference, 0, 0);
  rows.forEach((row, y) => row.forEach((image, x) => blit(sheet, image, (x + 1) * stepX, y * stepY)));
  return sheet;
}
