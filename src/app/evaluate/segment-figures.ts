/** How well the segments of a video belong together. */
import { commonBackground, maskedL1, maskedPsnr } from "../../evaluation/masked-errors.ts";
import { seamJumpRatio } from "../../evaluation/seam-jump.ts";
import { ssimConsistency } from "../../evaluation/temporal-consistency.ts";
import type { Image } from "../../media/pixels.ts";
import type { Plan } from "../../pipeline/plan.ts";
import { type Figures, type SharingMetric, type VideoMetric, finite, mean } from "./figures.ts";
import { personMask } from "./picture-figures.ts";

/** How steadily a video goes on from frame to frame, and over the borders of its segments. */
export function continuityFigures(video: readonly Image[], plan: Plan): Figures<VideoMetric> {
  return finite({ consistency: ssimConsistency(video), seamJump: seamJumpRatio(video, seamsOf(plan)) });
}

/** Frames at which something new begins: the first frame of each further segment, and its first unblended one. */
export function seamsOf({ segments, segmentFrames, numFrames }: Plan): Set<number> {
  const seams = segments
    .slice(1)
    .flatMap(({ index, start }) => [start, segments[index - 1]!.start + segmentFrames]);
  return new Set(seams.filter((frame) => frame < numFrames));
}

/**
 * What sharing the anchor's background changes: differences of the other base segments from the anchor and from the
 * truth. Only frames that are theirs alone are compared, and frames of two segments at the same distance from the
 * first of them; the camera stands still, so that only the person and its shadow change the true background.
 */
export function sharingFigures(
  video: readonly Image[],
  truth: readonly Image[],
  coverage: readonly Uint8Array[],
  plan: Plan,
): Figures<SharingMetric> {
  const anchor = ownFrames(
    plan,
    plan.segments.findIndex(({ kind }) => kind === "anchor"),
  );
  const others = plan.segments
    .filter(({ kind }) => kind === "base")
    .map(({ index }) => ownFrames(plan, index));
  const drifts = others.flatMap((frames) =>
    frames.slice(0, anchor.length).map((frame, i) => {
      const source = anchor[i]!;
      const background = commonBackground(coverage[frame]!, coverage[source]!);
      return maskedL1(video[frame]!.data, video[source]!.data, background);
    }),
  );
  const errors = others.flat().map((frame) => {
    const [actual, expected] = [video[frame]!.data, truth[frame]!.data];
    const person = personMask(coverage[frame]!);
    return {
      background: maskedL1(actual, expected, commonBackground(coverage[frame]!, coverage[frame]!)),
      person: maskedL1(actual, expected, person),
      psnr: maskedPsnr(actual, expected, person),
    };
  });
  return finite({
    backgroundDrift: mean(drifts),
    backgroundL1: mean(errors.map(({ background }) => background)),
    personL1: mean(errors.map(({ person }) => person)),
    personPsnr: mean(errors.map(({ psnr }) => psnr)),
  });
}

/** The frames that no other segment overlaps. */
export function ownFrames({ segments, segmentFrames, numFrames }: Plan, index: number): number[] {
  const from = index === 0 ? 0 : segments[index - 1]!.start + segmentFrames;
  const to = segments[index + 1]?.start ?? segments[index]!.start + segmentFrames;
  return Array.from({ length: Math.max(0, Math.min(to, numFrames) - from) }, (_, i) => from + i);
}
