import type { PoseKeypoints } from "../media/pose-keypoints.ts";
import { MAX_GAP, blendPoses } from "./fill-gaps.ts";
import type { PersonFrame } from "./person-frame.ts";

/**
 * Decides what is shown where nobody is: the last pose is held, and the first one before it. In the last `glide`
 * frames of such a stretch the pose moves in a straight line to the one that follows, unless a cut lies between or
 * one of the two stands at the edge of the picture, through which the person came or went. What is held is not
 * reported as found.
 */
export async function* holdPose(
  frames: AsyncIterable<PersonFrame>,
  glide: number = MAX_GAP,
): AsyncGenerator<PersonFrame, void, undefined> {
  const ahead: PersonFrame[] = [];
  let last: PersonFrame | null = null;
  const emit = (): PersonFrame => {
    const frame = ahead.shift()!;
    if (frame.cut) cutAt = frame.index;
    if (!isMissing(frame)) return (last = frame);
    const untilCut = ahead.findIndex(({ cut }) => cut);
    const next = (untilCut < 0 ? ahead : ahead.slice(0, untilCut)).find((later) => !isMissing(later));
    const held = last ?? next ?? ahead.find((later) => !isMissing(later));
    if (!held) return frame;
    const mayGlide = last && next && last.index >= cutAt && !isAtEdge(last) && !isAtEdge(next);
    const t = mayGlide ? Math.max(0, 1 - (next.index - frame.index) / (glide + 1)) : 0;
    return { ...frame, ...(t > 0 ? blendPoses(held, next!, t) : { pose: held.pose, depths: held.depths }) };
  };
  let cutAt = 0;
  let hasBegun = false;
  for await (const frame of frames) {
    ahead.push(frame);
    hasBegun ||= !isMissing(frame);
    if (hasBegun) while (ahead.length > glide + 1) yield emit();
  }
  while (ahead.length > 0) yield emit();
}

function isMissing({ pose, found }: PersonFrame): boolean {
  return !found.body && pose.body.every(({ score }) => score === 0);
}

/** Points within this share of the picture's sides from an edge are at it. */
const EDGE = 0.02;

/** Whether a good part of the body is outside the picture, sideways: the person is coming or going. */
function isAtEdge({ pose, size }: { pose: PoseKeypoints; size: PersonFrame["size"] }): boolean {
  const outside = pose.body.filter(({ x }) => x < EDGE * size.width || x > (1 - EDGE) * size.width);
  return 4 * outside.length >= pose.body.length;
}
