/** Figures of a clip's stored poses: [F, P, 3], see `StoredClip.poses`. */
import { BODY_POINTS, HAND_POINTS } from "../../media/pose-keypoints.ts";
import { POSE_POINTS } from "../../training/dataset.ts";

/** Least confidence of points that count: those drawn. */
const BODY_SEEN = 0.3;
const HAND_SEEN = 0.7;

export interface PoseFigures {
  /** Mean way of a joint of the body from one frame to the next, in pixels of the clip. */
  readonly motion: number;
  /** Mean height of the box around the body's points, as a share of the picture. */
  readonly height: number;
  /** Shares of the frames in which a hand is seen. */
  readonly leftHand: number;
  readonly rightHand: number;
}

/** @param size of the clip's pictures */
export function poseFigures(
  poses: Float32Array,
  size: { readonly width: number; readonly height: number },
): PoseFigures {
  const numFrames = poses.length / (3 * POSE_POINTS);
  let [way, numWays, height, numBodies] = [0, 0, 0, 0];
  const hands = [0, 0];
  for (let f = 0; f < numFrames; f++) {
    let [top, bottom] = [Infinity, -Infinity];
    for (let joint = 0; joint < BODY_POINTS.length; joint++) {
      const at = (f * POSE_POINTS + joint) * 3;
      if (poses[at + 2]! < BODY_SEEN) continue;
      top = Math.min(top, poses[at + 1]!);
      bottom = Math.max(bottom, poses[at + 1]!);
      const before = at - 3 * POSE_POINTS;
      if (f === 0 || poses[before + 2]! < BODY_SEEN) continue;
      const [dx, dy] = [poses[at]! - poses[before]!, poses[at + 1]! - poses[before + 1]!];
      way += Math.hypot(dx * size.width, dy * size.height);
      numWays++;
    }
    if (bottom >= top) {
      height += bottom - top;
      numBodies++;
    }
    for (const side of [0, 1]) {
      const root = f * POSE_POINTS + BODY_POINTS.length + side * HAND_POINTS.length;
      if (poses[root * 3 + 2]! >= HAND_SEEN) hands[side]!++;
    }
  }
  return {
    motion: way / Math.max(1, numWays),
    height: height / Math.max(1, numBodies),
    leftHand: hands[0]! / numFrames,
    rightHand: hands[1]! / numFrames,
  };
}

/** Where points are: how many fell into each cell of a grid over the picture. */
export class CoverageGrid {
  /** [rows, columns] */
  readonly counts: Uint32Array;

  constructor(
    readonly columns: number,
    readonly rows: number,
  ) {
    this.counts = new Uint32Array(columns * rows);
  }

  /** Counts the seen points of the body or of the hands. Points outside the picture do not count. */
  add(poses: Float32Array, part: "body" | "hands"): void {
    for (let at = 0; at < poses.length; at += 3) {
      const isBody = (at / 3) % POSE_POINTS < BODY_POINTS.length;
      const [x, y, score] = [poses[at]!, poses[at + 1]!, poses[at + 2]!];
      const isSeen = score >= (isBody ? BODY_SEEN : HAND_SEEN) && x >= 0 && x < 1 && y >= 0 && y < 1;
      if (!isSeen || isBody !== (part === "body")) continue;
      this.counts[Math.floor(y * this.rows) * this.columns + Math.floor(x * this.columns)]!++;
    }
  }
}
