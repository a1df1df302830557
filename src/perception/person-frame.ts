import type { PoseKeypoints } from "../media/pose-keypoints.ts";
import type { HandDepths, Size } from "./keypoints.ts";
import type { HandSurfaces } from "./normal-patch.ts";
import type { Box } from "./survey.ts";

/** All that is known about the person in one frame of a driving video. Plain data: it survives JSON. */
export interface PersonFrame {
  /** Position among the analysed frames. */
  readonly index: number;
  /** Seconds from the video's first frame. */
  readonly timeS: number;
  /** Size of the video's frames; all positions are in their pixels. */
  readonly size: Size;
  readonly pose: PoseKeypoints;
  readonly depths: HandDepths;
  /** People in the frame. */
  readonly numPeople: number;
  /** Around everybody else in the frame; absent where nobody else is, or nothing is known of them. */
  readonly others?: readonly Box[];
  /** Present when the frame begins a new shot: nothing moves from the frame before to this one. */
  readonly cut?: true;
  /** Hands as a surface-normal network saw them; absent where their normals follow from the points. */
  readonly surfaces?: HandSurfaces;
  /** What was found in this very frame; the rest is unseen, interpolated over a short gap, or held over a long one. */
  readonly found: { readonly body: boolean; readonly leftHand: boolean; readonly rightHand: boolean };
}

/** What the frames of a driving video held. */
export interface AnalysisSummary {
  readonly numFrames: number;
  readonly numWithBody: number;
  readonly numWithLeftHand: number;
  readonly numWithRightHand: number;
  /** Most people found at once. */
  readonly maxPeople: number;
  /** Stretches of frames without the person. */
  readonly absences: readonly Absence[];
  /** Times of the frames that begin a new shot, seconds. */
  readonly cutsS: readonly number[];
}

/** A stretch of frames without the person, the first and the last of them. */
export interface Absence {
  readonly fromFrame: number;
  readonly toFrame: number;
  readonly fromS: number;
  readonly toS: number;
}

export const EMPTY_SUMMARY: AnalysisSummary = {
  numFrames: 0,
  numWithBody: 0,
  numWithLeftHand: 0,
  numWithRightHand: 0,
  maxPeople: 0,
  absences: [],
  cutsS: [],
};

/** The summary of one more frame: `frames.reduce(addToSummary, EMPTY_SUMMARY)`. */
export function addToSummary(summary: AnalysisSummary, frame: PersonFrame): AnalysisSummary {
  const { found, numPeople, timeS, cut } = frame;
  return {
    ...summary,
    numFrames: summary.numFrames + 1,
    numWithBody: summary.numWithBody + (found.body ? 1 : 0),
    numWithLeftHand: summary.numWithLeftHand + (found.leftHand ? 1 : 0),
    numWithRightHand: summary.numWithRightHand + (found.rightHand ? 1 : 0),
    maxPeople: Math.max(summary.maxPeople, numPeople),
    absences: absencesWith(summary.absences, frame),
    cutsS: cut ? [...summary.cutsS, timeS] : summary.cutsS,
  };
}

function absencesWith(
  absences: readonly Absence[],
  { index, timeS, found }: PersonFrame,
): readonly Absence[] {
  if (found.body) return absences;
  const last = absences.at(-1);
  if (last?.toFrame !== index - 1) {
    return [...absences, { fromFrame: index, toFrame: index, fromS: timeS, toS: timeS }];
  }
  return [...absences.slice(0, -1), { ...last, toFrame: index, toS: timeS }];
}
