/** How sure the networks were of a person's parts over time, from a file of poses. */
import type { Keypoint } from "../../media/pose-keypoints.ts";
import type { PersonFrame } from "../../perception/person-frame.ts";
import { KeypointsFile } from "../../pipeline/keypoints-file.ts";

export interface ConfidencePoint {
  readonly timeS: number;
  readonly part: "body" | "left hand" | "right hand";
  /** Mean score of the part's points, 0..1; NaN where it is not seen. */
  readonly confidence: number;
}

const PARTS = { body: "body", leftHand: "left hand", rightHand: "right hand" } as const;

type Part = keyof typeof PARTS;

/** Moments that are drawn at most; of longer videos means of neighbours are. */
const MAX_MOMENTS = 600;

/** @throws UserError when it is no such file */
export async function readConfidence(poses: string): Promise<ConfidencePoint[]> {
  const scores: Record<Part, number>[] = [];
  const { fps } = await KeypointsFile.open(poses, ({ pose, found }) => {
    const scoreOf = (part: Part): number => (found[part] ? meanScore(pose[part]) : Number.NaN);
    scores.push({ body: scoreOf("body"), leftHand: scoreOf("leftHand"), rightHand: scoreOf("rightHand") });
  });
  const size = Math.ceil(scores.length / MAX_MOMENTS);
  const moments = Array.from({ length: Math.ceil(scores.length / size) }, (_, i) => i * size);
  return (Object.keys(PARTS) as Part[]).flatMap((part) =>
    moments.map((first) => {
      const seen = scores.slice(first, first + size).flatMap((each) => (each[part] >= 0 ? [each[part]] : []));
      return { timeS: first / fps, part: PARTS[part], confidence: mean(seen) };
    }),
  );
}

const meanScore = (points: PersonFrame["pose"][Part]): number =>
  mean(points.map(({ score }: Keypoint) => score));

/** NaN of nothing. */
function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
