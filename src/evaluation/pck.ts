/** Percentage of correct keypoints: does the generated person strike the driving pose? (paper Tab. 3) */

export interface JointPosition {
  readonly x: number;
  readonly y: number;
}

/** One frame's joints. The lists run in step. */
export interface JointComparison {
  /** Where they are; undefined where none was found, which counts as wrong. */
  readonly predicted: readonly (JointPosition | undefined)[];
  /** Where they should be. */
  readonly truth: readonly JointPosition[];
  /** Which of them count. */
  readonly visible: readonly boolean[];
}

/** What `alpha` is a share of, in the joints' units (pixels). */
export type PckScale = (frame: JointComparison) => number;

/**
 * Share (0..1) of the visible joints of all frames that lie within alpha * scale(frame) of the truth.
 * NaN when no joint is visible.
 */
export function pck(
  frames: readonly JointComparison[],
  alpha: number,
  scale: PckScale = boundingBoxSide,
): number {
  let correct = 0;
  let counted = 0;
  for (const frame of frames) {
    const limit = alpha * scale(frame);
    frame.truth.forEach((truth, joint) => {
      if (!frame.visible[joint]) return;
      counted++;
      const predicted = frame.predicted[joint];
      if (predicted && Math.hypot(predicted.x - truth.x, predicted.y - truth.y) <= limit) correct++;
    });
  }
  return correct / counted;
}

/** The longer side of the box around the frame's visible true joints. */
export function boundingBoxSide({ truth, visible }: JointComparison): number {
  const joints = truth.filter((_, joint) => visible[joint]);
  const extent = (values: number[]): number => Math.max(...values) - Math.min(...values);
  return Math.max(extent(joints.map(({ x }) => x)), extent(joints.map(({ y }) => y)));
}
