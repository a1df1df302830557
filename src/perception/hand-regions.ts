import { bodyPoint } from "./body-landmarks.ts";
import type { BodyPose } from "./pose.ts";
import { type Point, type Region, fromRegion, toRegion, uprightRotation } from "./region.ts";

export type Side = "left" | "right";

/** A hand's region is this many times as large as the square around its palm. */
const HAND_SCALE = 2;
/** The body's three points of a hand tell its size less well. */
const BODY_SCALE = 2.7;
/** The region lies a little towards the fingers, by this share of the unscaled square. */
const FINGER_SHIFT = 0.1;
/** Side of the square that is searched for palms, in shoulder widths. */
const PALM_SEARCH = 2.2;
/** A hand's root may lie this share of its region away from the body's wrist. */
const MAX_WRIST_GAP = 0.6;

/** Where the body's points say that a hand is. */
export function regionFromBody(body: BodyPose, side: Side): Region {
  const { wrist, knuckles } = handOfBody(body, side);
  const size = 2 * Math.hypot(knuckles.x - wrist.x, knuckles.y - wrist.y);
  return grown({ center: knuckles, size, rotation: uprightRotation(wrist, knuckles) }, size, BODY_SCALE);
}

/** The surroundings of a wrist, to search for palms in. */
export function regionAroundWrist(body: BodyPose, side: Side): Region {
  const { wrist, knuckles } = handOfBody(body, side);
  const center = { x: (wrist.x + knuckles.x) / 2, y: (wrist.y + knuckles.y) / 2 };
  return { center, size: PALM_SEARCH * shoulderWidth(body), rotation: 0 };
}

/** Width of the shoulders in pixels as if seen from the front: the torso's length bounds it from below. */
function shoulderWidth({ landmarks }: BodyPose): number {
  const distance = (a: Point, b: Point): number => Math.hypot(a.x - b.x, a.y - b.y);
  const [left, right] = [bodyPoint(landmarks, "leftShoulder"), bodyPoint(landmarks, "rightShoulder")];
  return Math.max(
    distance(left, right),
    0.6 * distance(left, bodyPoint(landmarks, "leftHip")),
    0.6 * distance(right, bodyPoint(landmarks, "rightHip")),
  );
}

function handOfBody({ landmarks }: BodyPose, side: Side): { wrist: Point; knuckles: Point } {
  const [pinky, index] = [bodyPoint(landmarks, `${side}Pinky`), bodyPoint(landmarks, `${side}Index`)];
  // Nearer to the index finger, because the thumb widens that side.
  const knuckles = { x: (2 * index.x + pinky.x) / 3, y: (2 * index.y + pinky.y) / 3 };
  return { wrist: bodyPoint(landmarks, `${side}Wrist`), knuckles };
}

/** Joints that move little against each other when the fingers bend. */
const PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18];

/** The region of a hand with these 21 points. */
export function regionFromHand(points: readonly Point[]): Region {
  const [wrist, index, middle, ring] = [points[0]!, points[5]!, points[9]!, points[13]!];
  const knuckles = {
    x: ((index.x + ring.x) / 2 + middle.x) / 2,
    y: ((index.y + ring.y) / 2 + middle.y) / 2,
  };
  const rotation = uprightRotation(wrist, knuckles);
  const axes: Region = { center: wrist, size: 1, rotation };
  const palm = PALM.map((i) => toRegion(axes, points[i]!));
  const [left, right] = [Math.min(...palm.map((p) => p.u)), Math.max(...palm.map((p) => p.u))];
  const [top, bottom] = [Math.min(...palm.map((p) => p.v)), Math.max(...palm.map((p) => p.v))];
  const center = fromRegion(axes, (left + right) / 2, (top + bottom) / 2);
  const size = Math.max(right - left, bottom - top);
  return grown({ center, size, rotation }, bottom - top, HAND_SCALE);
}

function grown(region: Region, height: number, scale: number): Region {
  const shift = (FINGER_SHIFT * height) / Math.max(region.size, 1e-6);
  return { ...region, center: fromRegion(region, 0.5, 0.5 - shift), size: Math.max(1, region.size * scale) };
}

/** Whether a hand begins where the body's arm ends. */
export function isAtWrist(root: Point, regionSize: number, body: BodyPose, side: Side): boolean {
  const wrist = bodyPoint(body.landmarks, `${side}Wrist`);
  return Math.hypot(root.x - wrist.x, root.y - wrist.y) < MAX_WRIST_GAP * regionSize;
}
