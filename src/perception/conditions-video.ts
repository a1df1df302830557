import { type Image, createImage } from "../media/pixels.ts";
import { type Keypoint, transformPose } from "../media/pose-keypoints.ts";
import { centerCropBox } from "../media/resize.ts";
import { type SkeletonOptions, renderSkeleton } from "../media/skeleton.ts";
import type { Point3 } from "./body-landmarks.ts";
import { drawHandNormals } from "./hand-normals.ts";
import type { Size } from "./keypoints.ts";
import { drawNormalPatches, transformPatch } from "./normal-patch.ts";
import type { PersonFrame } from "./person-frame.ts";

/** What the model is told about one frame. */
export interface ConditionFrame {
  readonly skeleton: Image;
  /** Normals of the hands' surfaces on black: as a network saw them, or see `drawHandNormals`. */
  readonly handNormals: Image;
}

/**
 * The person of a driving frame as seen in an output of the given size: the largest centred part of the frame with
 * the output's aspect ratio, scaled, as the published code treats its videos. The part may cut off points.
 */
export function mapToOutput(frame: PersonFrame, output: Size): PersonFrame {
  const { width, height } = frame.size;
  const box = centerCropBox(width, height, output.width, output.height);
  const scaleX = output.width / box.width;
  const scaleY = output.height / box.height;
  const depthScale = Math.sqrt(scaleX * scaleY);
  const to = { left: box.left, top: box.top, scaleX, scaleY };
  const { surfaces, others } = frame;
  return {
    ...frame,
    size: output,
    pose: transformPose(frame.pose, to),
    ...(others && {
      others: others.map(({ left, top, right, bottom }) => ({
        left: (left - to.left) * scaleX,
        top: (top - to.top) * scaleY,
        right: (right - to.left) * scaleX,
        bottom: (bottom - to.top) * scaleY,
      })),
    }),
    ...(surfaces && {
      surfaces: {
        left: surfaces.left && transformPatch(surfaces.left, to),
        right: surfaces.right && transformPatch(surfaces.right, to),
      },
    }),
    depths: {
      left: frame.depths.left.map((depth) => depth * depthScale),
      right: frame.depths.right.map((depth) => depth * depthScale),
    },
  };
}

/** Draws the conditions of one driving frame at the size of the output. */
export function renderConditions(
  frame: PersonFrame,
  output: Size,
  options: SkeletonOptions = {},
): ConditionFrame {
  const { pose, depths, surfaces } = mapToOutput(frame, output);
  const { handThreshold = 0.7 } = options;
  const handNormals = createImage(output.width, output.height);
  const isSeen = (hand: readonly Keypoint[]): boolean =>
    Math.max(...hand.map((point) => point.score)) >= handThreshold;
  if (surfaces) {
    drawNormalPatches(
      handNormals,
      [surfaces.left, surfaces.right].filter((patch) => patch !== null),
    );
  } else {
    const hands = [inDepth(pose.leftHand, depths.left), inDepth(pose.rightHand, depths.right)];
    drawHandNormals(
      handNormals,
      hands.filter((_, i) => isSeen(i === 0 ? pose.leftHand : pose.rightHand)),
    );
  }
  return { skeleton: renderSkeleton(pose, output.width, output.height, options), handNormals };
}

function inDepth(hand: readonly Keypoint[], depths: readonly number[]): Point3[] {
  return hand.map(({ x, y }, i) => ({ x, y, z: depths[i]! }));
}

/** The conditions of a whole video, frame by frame. */
export async function* renderConditionsVideo(
  frames: AsyncIterable<PersonFrame>,
  output: Size,
  options: SkeletonOptions = {},
): AsyncGenerator<ConditionFrame, void, undefined> {
  for await (const frame of frames) yield renderConditions(frame, output, options);
}
