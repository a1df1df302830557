import type { Session } from "../runtime/session.ts";
import { float32 } from "../tensor/tensor.ts";
import { type Detection, type DetectorLayout, readDetections } from "./detections.ts";
import { type ImagePyramid, type Region, fromRegion, sampleRegion, uprightRotation } from "./region.ts";

const LAYOUT: DetectorLayout = {
  resolution: 192,
  grids: [
    { side: 24, perCell: 2 },
    { side: 12, perCell: 6 },
  ],
};

const MIN_SCORE = 0.3;
/** A hand reaches beyond its palm: the region is larger and lies towards the fingers, in sides of the palm's box. */
const SCALE = 2.6;
const FINGER_SHIFT = 0.5;

/** Regions of the hands whose palms are seen in `area`, those nearest to its centre first. */
export async function detectPalms(session: Session, frame: ImagePyramid, area: Region): Promise<Region[]> {
  const { resolution } = LAYOUT;
  const image = float32(sampleRegion(frame, area, resolution, [0, 1]), [1, 3, resolution, resolution]);
  const { boxes, scores } = await session.run({ image }, { transfer: "all" });
  const palms = readDetections(
    boxes!.data as Float32Array,
    scores!.data as Float32Array,
    LAYOUT,
    area,
    MIN_SCORE,
  );
  const distance = ({ center }: Region): number =>
    Math.hypot(center.x - area.center.x, center.y - area.center.y);
  return palms.map(handRegion).toSorted((a, b) => distance(a) - distance(b));
}

function handRegion({ center, width, height, keypoints }: Detection): Region {
  // Points 0 and 2 of the detector are the wrist and the middle finger's knuckle.
  const rotation = uprightRotation(keypoints[0]!, keypoints[2]!);
  const size = Math.max(width, height);
  const palm = { center, size, rotation };
  return { ...palm, center: fromRegion(palm, 0.5, 0.5 - (FINGER_SHIFT * height) / size), size: size * SCALE };
}
