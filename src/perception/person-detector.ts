import type { Session } from "../runtime/session.ts";
import { float32 } from "../tensor/tensor.ts";
import type { DetectedPerson } from "./eyes.ts";
import { type Detection, type DetectorLayout, readDetections } from "./detections.ts";
import {
  type ImagePyramid,
  type Region,
  sampleRegion,
  toRegion,
  uprightRotation,
  wholeImage,
} from "./region.ts";

const LAYOUT: DetectorLayout = {
  resolution: 224,
  grids: [
    { side: 28, perCell: 2 },
    { side: 14, perCell: 2 },
    { side: 7, perCell: 6 },
  ],
};

const MIN_SCORE = 0.5;

/** The region is a square around the body's circle, a quarter larger. */
const REGION_MARGIN = 1.25;

/** A longer picture than this is also searched in squares: shrunk as a whole, its people become too small. */
const WIDE_ASPECT = 1.2;

/** All people in a picture, the largest first, unless `enough` of them are found in the picture as a whole. */
export async function detectPeople(
  session: Session,
  pyramid: ImagePyramid,
  enough: number,
): Promise<DetectedPerson[]> {
  const atOnce = await search(session, pyramid, wholeImage(pyramid.image));
  const people = eachOnce(atOnce);
  if (people.length >= enough) return people;
  // Side by side: one is cut out of the picture while the network looks at another.
  const inTiles = await Promise.all(tilesOf(pyramid).map((area) => search(session, pyramid, area)));
  return eachOnce([...atOnce, ...inTiles.flat()]);
}

function eachOnce(found: readonly Detection[]): DetectedPerson[] {
  const people: DetectedPerson[] = [];
  for (const { score, keypoints } of found.toSorted((a, b) => b.score - a.score)) {
    // The detector's first point is the middle of the hips, its second lies on the circle around the body.
    const region = bodyRegion(keypoints[0]!, keypoints[1]!);
    if (!people.some((better) => isSamePerson(better.region, region))) people.push({ score, region });
  }
  return people.toSorted((a, b) => b.region.size - a.region.size);
}

/** Half the sides of the body's column in its region: the trunk is a fifth of it wide, the body four fifths long. */
const COLUMN = { across: 0.1, along: 0.4 };

/**
 * Whether the hips of one find lie within the body of a better one: then it is the same person, seen in two searches,
 * or a part of it that a square cut out.
 */
function isSamePerson(better: Region, other: Region): boolean {
  const { u, v } = toRegion(better, other.center);
  return Math.abs(u - 0.5) < COLUMN.across && Math.abs(v - 0.5) < COLUMN.along;
}

/** The region of the body from the middle of the hips and a point on the circle around the body. */
export function bodyRegion(hips: Region["center"], rim: Region["center"]): Region {
  return {
    center: hips,
    size: 2 * REGION_MARGIN * Math.hypot(rim.x - hips.x, rim.y - hips.y),
    rotation: uprightRotation(hips, rim),
  };
}

async function search(session: Session, pyramid: ImagePyramid, region: Region) {
  const { resolution } = LAYOUT;
  const image = float32(sampleRegion(pyramid, region, resolution, [-1, 1]), [1, 3, resolution, resolution]);
  const { boxes, scores } = await session.run({ image }, { transfer: "all" });
  return readDetections(boxes!.data as Float32Array, scores!.data as Float32Array, LAYOUT, region, MIN_SCORE);
}

/** Squares as high (or wide) as the picture, each overlapping half of the next. */
function tilesOf({ image: { width, height } }: ImagePyramid): Region[] {
  const size = Math.min(width, height);
  const long = Math.max(width, height);
  if (long < WIDE_ASPECT * size) return [];
  const numTiles = Math.min(8, Math.ceil((long - size) / (size / 2)) + 1);
  return Array.from({ length: numTiles }, (_, i) => {
    const along = size / 2 + ((long - size) * i) / (numTiles - 1);
    const center = width > height ? { x: along, y: size / 2 } : { x: size / 2, y: along };
    return { center, size, rotation: 0 };
  });
}
