import { type Keypoint, type PoseKeypoints, bodyIndex } from "../media/pose-keypoints.ts";
import type { PersonFrame } from "./person-frame.ts";

/** Longest run of frames that is interpolated: half a second at 16 frames per second. */
export const MAX_GAP = 8;

/**
 * Bridges short gaps: where the body or a hand is missing in at most `maxGap` frames, its points move in a straight
 * line from where they were to where they appear again, a hand's relative to the wrist. Longer gaps, and those at
 * the beginning and the end, and those that a cut lies in stay as they are. At most `maxGap` frames are read ahead.
 */
export async function* fillGaps(
  frames: AsyncIterable<PersonFrame>,
  maxGap: number = MAX_GAP,
): AsyncGenerator<PersonFrame, void, undefined> {
  const ahead: PersonFrame[] = [];
  let last = nothingSeen();
  const emit = (): PersonFrame => {
    const frame = ahead.shift()!;
    if (frame.cut) last = nothingSeen();
    const untilCut = ahead.findIndex(({ cut }) => cut);
    const shot = untilCut < 0 ? ahead : ahead.slice(0, untilCut);
    let { pose, depths } = frame;
    for (const part of PARTS) {
      if (frame.found[part]) {
        last[part] = frame;
        continue;
      }
      const before = last[part];
      const after = shot.find((later) => later.found[part]);
      if (!before || !after || after.index - before.index - 1 > maxGap) continue;
      const t = (frame.index - before.index) / (after.index - before.index);
      pose = { ...pose, [part]: between(part, before.pose, after.pose, t, pose) };
      if (part === "body") continue;
      const side = part === "leftHand" ? "left" : "right";
      depths = { ...depths, [side]: blendDepths(before.depths[side], after.depths[side], t) };
    }
    return { ...frame, pose, depths };
  };
  for await (const frame of frames) {
    ahead.push(frame);
    if (ahead.length > maxGap) yield emit();
  }
  while (ahead.length > 0) yield emit();
}

type Part = keyof PersonFrame["found"];

const nothingSeen = (): Record<Part, PersonFrame | null> => ({ body: null, leftHand: null, rightHand: null });

/** All of a person at time t of 0..1 on the straight way from one frame to another. */
export function blendPoses(
  before: PersonFrame,
  after: PersonFrame,
  t: number,
): Pick<PersonFrame, "pose" | "depths"> {
  const body = between("body", before.pose, after.pose, t, before.pose);
  const now = { ...before.pose, body };
  return {
    pose: {
      body,
      leftHand: between("leftHand", before.pose, after.pose, t, now),
      rightHand: between("rightHand", before.pose, after.pose, t, now),
    },
    depths: {
      left: blendDepths(before.depths.left, after.depths.left, t),
      right: blendDepths(before.depths.right, after.depths.right, t),
    },
  };
}

function blendDepths(from: readonly number[], to: readonly number[], t: number): number[] {
  return from.map((depth, i) => depth + (to[i]! - depth) * t);
}

/** The body first: hands are placed at its wrists. */
const PARTS: readonly Part[] = ["body", "leftHand", "rightHand"];

/** Points of a part at time t of 0..1 between two poses, in the pose `now`, as sure as the less sure of the two. */
function between(
  part: Part,
  before: PoseKeypoints,
  after: PoseKeypoints,
  t: number,
  now: PoseKeypoints,
): Keypoint[] {
  const anchor = part === "body" ? null : bodyIndex(part === "leftHand" ? "leftWrist" : "rightWrist");
  const origin = (pose: PoseKeypoints): { x: number; y: number } =>
    (anchor === null ? undefined : pose.body[anchor]) ?? { x: 0, y: 0 };
  const [from, to, here] = [origin(before), origin(after), origin(now)];
  return before[part].map((a, i) => {
    const b = after[part][i]!;
    const [ax, ay] = [a.x - from.x, a.y - from.y];
    const [bx, by] = [b.x - to.x, b.y - to.y];
    return {
      x: here.x + ax + (bx - ax) * t,
      y: here.y + ay + (by - ay) * t,
      score: Math.min(a.score, b.score),
    };
  });
}
