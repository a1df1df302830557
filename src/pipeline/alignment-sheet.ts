/** A picture of how a driving motion was fitted to the reference: skeletons over the reference, before and after. */
import { contactSheet, type LabelledImage } from "../media/contact-sheet.ts";
import type { Image } from "../media/pixels.ts";
import type { PoseKeypoints } from "../media/pose-keypoints.ts";
import { centerCropResize } from "../media/resize.ts";
import { drawSkeleton } from "../media/skeleton.ts";
import { mapToOutput } from "../perception/conditions-video.ts";
import type { PersonFrame } from "../perception/person-frame.ts";
import type { Driver } from "./driver.ts";

const NUM_MOMENTS = 4;

/** Pictures are drawn at least this high, for small results too. */
const CELL_HEIGHT = 384;

/**
 * The reference with its own skeleton, and below each other the driver's at some moments before and after.
 * @param given the driver as it is, `aligned` the same fitted to the reference
 */
export async function alignmentSheet(
  image: Image,
  reference: PersonFrame,
  given: Driver,
  aligned: Driver,
  output: { readonly width: number; readonly height: number },
): Promise<Image> {
  const height = Math.max(CELL_HEIGHT, output.height);
  const size = { width: Math.round((output.width * height) / output.height), height };
  const still = centerCropResize(image, size.width, size.height);
  const over = (frame: PersonFrame): Image => withSkeleton(still, mapToOutput(frame, size).pose);
  const moments = Array.from({ length: NUM_MOMENTS }, (_, i) =>
    Math.floor(((i + 0.5) * given.numFrames) / NUM_MOMENTS),
  );
  const row = async (driver: Driver, label: string): Promise<LabelledImage[]> =>
    Promise.all(
      moments.map(async (index) => {
        // As the result sees it, at the size of the sheet.
        const frame = mapToOutput(await driver.frame(index), output);
        return { image: over(frame), label: `${label} ${index}` };
      }),
    );
  const cells = [
    { image: over(reference), label: "reference" },
    ...(await row(given, "before")),
    { image: still, label: "" },
    ...(await row(aligned, "after")),
  ];
  return contactSheet(cells, { numColumns: NUM_MOMENTS + 1, cellHeight: CELL_HEIGHT });
}

function withSkeleton(image: Image, pose: PoseKeypoints): Image {
  const copy = { ...image, data: Uint8Array.from(image.data) };
  drawSkeleton(copy, pose, { style: "scaled" });
  return copy;
}
