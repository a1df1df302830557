import { join } from "node:path";
import { z } from "zod";
import { readImage } from "../../media/image.ts";
import type { Image } from "../../media/pixels.ts";
import { poseFromWholebody } from "../../media/pose-keypoints.ts";
import { renderSkeleton } from "../../media/skeleton.ts";
import { readJson, parityRow, type ParityCheck, type ParityRow } from "./rows.ts";

const keypointsSchema = z.record(
  z.string(),
  z.object({
    width: z.number(),
    height: z.number(),
    png: z.string().regex(/^[^/\\]+$/, "the picture lies in the folder itself"),
    keypoints: z.array(z.tuple([z.number(), z.number()])),
    keypoint_scores: z.array(z.number()),
  }),
);

export const skeletonCheck: ParityCheck = {
  folder: "skeleton",
  async run(dir) {
    const cases = await readJson(join(dir, "keypoints.json"), keypointsSchema);
    const rows: ParityRow[] = [];
    for (const [name, { width, height, png, keypoints, keypoint_scores: scores }] of Object.entries(cases)) {
      const golden = await readImage(join(dir, png));
      const pose = poseFromWholebody(keypoints.map(([x, y], i) => ({ x, y, score: scores[i]! })));
      const drawn = renderSkeleton(pose, width, height);
      const { different, outside } = compare(drawn, golden);
      rows.push(parityRow(`${name}: share of pixels that differ`, different, 0.005));
      rows.push(parityRow(`${name}: 1 - IoU of the drawn pixels`, outside, 0.03));
    }
    return rows;
  },
};

/** Share of different pixels, and how far the drawn (non-black) regions are from covering each other. */
function compare(a: Image, b: Image): { different: number; outside: number } {
  if (a.width !== b.width || a.height !== b.height) return { different: 1, outside: 1 };
  const pixels = a.width * a.height;
  let [different, both, either] = [0, 0, 0];
  for (let pixel = 0; pixel < pixels; pixel++) {
    const [ofA, ofB] = [a.data, b.data].map((data) => data.subarray(3 * pixel, 3 * pixel + 3)) as [
      Uint8Array,
      Uint8Array,
    ];
    if (ofA.some((value, i) => value !== ofB[i])) different++;
    const [drawnA, drawnB] = [ofA.some((value) => value > 0), ofB.some((value) => value > 0)];
    if (drawnA && drawnB) both++;
    if (drawnA || drawnB) either++;
  }
  return { different: different / pixels, outside: either === 0 ? 0 : 1 - both / either };
}
