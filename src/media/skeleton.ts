import { fillCircle, strokeLine } from "./draw.ts";
import { ellipsePolygon, rasterCircle, rasterConvexPolygon, rasterThickLine } from "./opencv-raster.ts";
import { createImage, type Image, type Rgb } from "./pixels.ts";
import type { Keypoint, PoseKeypoints } from "./pose-keypoints.ts";

/**
 * OpenPose-style drawing of a pose on black, as PoseGen conditions on it. No face points: a skeleton must not tell
 * who moved.
 */
export interface SkeletonOptions {
  /**
   * `published`: sizes fixed in pixels and no anti-aliasing, equal to the published pictures (made for 720x1280).
   * `scaled`: anti-aliased strokes whose radius follows the height of the picture, for small videos.
   */
  readonly style?: "published" | "scaled";
  /**
   * `palette`: the palette's colours as they are. `published`: red and blue exchanged, as in the skeleton videos that
   * the published checkpoints were trained on (their writer took the RGB array for BGR).
   */
  readonly channelOrder?: "palette" | "published";
  /** Least confidence of a drawn body point, 0..1 (default 0.3). */
  readonly bodyThreshold?: number;
  /** Least confidence of a drawn hand point, 0..1 (default 0.7). */
  readonly handThreshold?: number;
}

type Link = readonly [number, number];

/** Limbs as pairs of `BODY_POINTS` indices, in drawing order. */
export const BODY_LINKS: readonly Link[] = [
  [1, 2],
  [1, 5],
  [2, 3],
  [3, 4],
  [5, 6],
  [6, 7],
  [1, 8],
  [8, 9],
  [9, 10],
  [1, 11],
  [11, 12],
  [12, 13],
  [1, 0],
  [0, 14],
  [14, 16],
  [0, 15],
  [15, 17],
  [13, 18],
  [13, 19],
  [13, 20],
  [10, 21],
  [10, 22],
  [10, 23],
];

/** Finger bones as pairs of `HAND_POINTS` indices: root to knuckle, then along each finger. */
export const HAND_LINKS: readonly Link[] = [1, 5, 9, 13, 17].flatMap((knuckle): Link[] => [
  [0, knuckle],
  [knuckle, knuckle + 1],
  [knuckle + 1, knuckle + 2],
  [knuckle + 2, knuckle + 3],
]);

const RAINBOW: readonly Rgb[] = [
  [255, 0, 0],
  [255, 85, 0],
  [255, 170, 0],
  [255, 255, 0],
  [170, 255, 0],
  [85, 255, 0],
  [0, 255, 0],
  [0, 255, 85],
  [0, 255, 170],
  [0, 255, 255],
  [0, 170, 255],
  [0, 85, 255],
  [0, 0, 255],
  [85, 0, 255],
  [170, 0, 255],
  [255, 0, 255],
  [255, 0, 170],
  [255, 0, 85],
];
const GREEN: Rgb = [0, 255, 0];
const ORANGE: Rgb = [255, 128, 0];
const WHITE: Rgb = [255, 255, 255];

/** The published palette. Its two departures from the rainbow (links 9 and 13) are kept. */
const LINK_COLORS: readonly Rgb[] = [
  ...RAINBOW.slice(0, 9),
  [0, 255, 225],
  ...RAINBOW.slice(10, 13),
  [255, 0, 170],
  ...RAINBOW.slice(14, 17),
  GREEN,
  GREEN,
  GREEN,
  ORANGE,
  ORANGE,
  ORANGE,
];
const JOINT_COLORS: readonly Rgb[] = [...RAINBOW, ORANGE, ORANGE, ORANGE, ORANGE, ORANGE, ORANGE];

/** Twenty full hues around the circle, 18 degrees apart. */
const HAND_LINK_COLORS: readonly Rgb[] = [
  [255, 0, 0],
  [255, 77, 0],
  [255, 153, 0],
  [255, 229, 0],
  [204, 255, 0],
  [128, 255, 0],
  [51, 255, 0],
  [0, 255, 25],
  [0, 255, 102],
  [0, 255, 179],
  [0, 255, 255],
  [0, 178, 255],
  [0, 102, 255],
  [0, 25, 255],
  [51, 0, 255],
  [128, 0, 255],
  [204, 0, 255],
  [255, 0, 230],
  [255, 0, 153],
  [255, 0, 77],
];

/** How the four kinds of mark are put on the picture. */
interface Pen {
  limb(from: Keypoint, to: Keypoint, color: Rgb): void;
  joint(at: Keypoint, color: Rgb): void;
  finger(from: Keypoint, to: Keypoint, color: Rgb): void;
  fingerJoint(at: Keypoint, color: Rgb): void;
}

/** A new black picture with the skeleton of one pose. */
export function renderSkeleton(
  pose: PoseKeypoints,
  width: number,
  height: number,
  options?: SkeletonOptions,
): Image {
  const image = createImage(width, height);
  drawSkeleton(image, pose, options);
  return image;
}

/** Draws the skeleton of one pose over a picture, in place. Points below their threshold are left out. */
export function drawSkeleton(image: Image, pose: PoseKeypoints, options: SkeletonOptions = {}): void {
  const { style = "published", channelOrder = "palette", bodyThreshold = 0.3, handThreshold = 0.7 } = options;
  const pen = style === "published" ? publishedPen(image) : scaledPen(image);
  const ordered = ([r, g, b]: Rgb): Rgb => (channelOrder === "palette" ? [r, g, b] : [b, g, r]);

  for (const { link, from, to } of visibleLinks(BODY_LINKS, pose.body, bodyThreshold)) {
    pen.limb(from, to, ordered(LINK_COLORS[link]!));
  }
  pose.body.forEach((point, i) => {
    if (isSeen(point, bodyThreshold)) pen.joint(point, ordered(JOINT_COLORS[i]!));
  });
  for (const hand of [pose.leftHand, pose.rightHand]) {
    const links = visibleLinks(HAND_LINKS, hand, handThreshold);
    for (const joint of new Set(links.flatMap(({ from, to }) => [from, to]))) pen.fingerJoint(joint, WHITE);
    for (const { link, from, to } of links) pen.finger(from, to, ordered(HAND_LINK_COLORS[link]!));
  }
}

function visibleLinks(links: readonly Link[], points: readonly Keypoint[], threshold: number) {
  return links.flatMap(([a, b], link) => {
    const [from, to] = [points[a], points[b]];
    return from && to && isSeen(from, threshold) && isSeen(to, threshold) ? [{ link, from, to }] : [];
  });
}

/** Pixels beyond which a point is a detector's fault; drawing towards it would say nothing. */
const MAX_COORDINATE = 1e5;

function isSeen({ x, y, score }: Keypoint, threshold: number): boolean {
  return score >= threshold && Math.abs(x) <= MAX_COORDINATE && Math.abs(y) <= MAX_COORDINATE;
}

const whole = ({ x, y }: Keypoint) => ({ x: Math.trunc(x), y: Math.trunc(y) });

/** Limbs are ellipses of half width 4, joints discs of radius 4, fingers lines of thickness 2; whole pixels. */
function publishedPen(image: Image): Pen {
  const disc = (at: Keypoint, color: Rgb) => rasterCircle(image, whole(at), 4, color);
  return {
    limb(from, to, color) {
      const [a, b] = [whole(from), whole(to)];
      const [dx, dy] = [a.x - b.x, a.y - b.y];
      const center = { x: Math.trunc((a.x + b.x) / 2), y: Math.trunc((a.y + b.y) / 2) };
      const halfLength = Math.trunc(Math.sqrt(dx * dx + dy * dy) / 2);
      const degrees = Math.trunc((Math.atan2(dy, dx) * 180) / Math.PI);
      rasterConvexPolygon(image, ellipsePolygon(center, { x: halfLength, y: 4 }, degrees), color);
    },
    joint: disc,
    finger: (from, to, color) => rasterThickLine(image, whole(from), whole(to), 2, color),
    fingerJoint: disc,
  };
}

/** Round strokes; at 1/110 of the height a limb stays about two pixels wide in the smallest videos. */
function scaledPen(image: Image): Pen {
  const limbRadius = image.height / 110;
  const fingerRadius = Math.max(0.5, limbRadius * 0.45);
  return {
    limb: (from, to, color) => strokeLine(image, from, to, limbRadius, color),
    joint: (at, color) => fillCircle(image, at, limbRadius * 1.3, color),
    finger: (from, to, color) => strokeLine(image, from, to, fingerRadius, color),
    // At this size white joints would drown the colours that tell the fingers apart.
    fingerJoint: () => {},
  };
}
