import type { PoseKeypoints } from "../media/pose-keypoints.ts";
import type { HandDepths, Size } from "./keypoints.ts";

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
  /** People in the frame, or in the last one that was searched for all. */
  readonly numPeople: number;
  /** What was found in this very frame; the rest is unseen, or interpolated over a short gap. */
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
}

export const EMPTY_SUMMARY: AnalysisSummary = {
  numFrames: 0,
  numWithBody: 0,
  numWithLeftHand: 0,
  numWithRightHand: 0,
  maxPeople: 0,
};

/** The summary of one more frame: `frames.reduce(addToSummary, EMPTY_SUMMARY)`. */
export function addToSummary(summary: AnalysisSummary, { found, numPeople }: PersonFrame): AnalysisSummary {
  return {
    numFrames: summary.numFrames + 1,
    numWithBody: summary.numWithBody + (found.body ? 1 : 0),
    numWithLeftHand: summary.numWithLeftHand + (found.leftHand ? 1 : 0),
    numWithRightHand: summary.numWithRightHand + (found.rightHand ? 1 : 0),
    maxPeople: Math.max(summary.maxPeople, numPeople),
  };
}
