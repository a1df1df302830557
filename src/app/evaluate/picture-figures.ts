import type { Image } from "../../media/pixels.ts";
import { l1 } from "../../evaluation/l1.ts";
import { maskedL1, maskedPsnr } from "../../evaluation/masked-errors.ts";
import { psnr } from "../../evaluation/psnr.ts";
import { partialSsim } from "../../evaluation/ssim.ts";
import { type Figures, type VideoMetric, finite, mean } from "./figures.ts";

/** Coverage from which a pixel belongs to the person. */
const HALF_COVERED = 128;

/** Non-zero for pixels that the person covers at least half. */
export function personMask(coverage: Uint8Array): Uint8Array {
  return coverage.map((share) => (share >= HALF_COVERED ? 1 : 0));
}

/** How near the pictures of a video are to the truth: means over its frames, of whole pictures and of the person. */
export function pictureFigures(
  video: readonly Image[],
  truth: readonly Image[],
  coverage: readonly Uint8Array[],
): Figures<VideoMetric> {
  const frames = truth.map((expected, f) => {
    const actual = video[f]!;
    const person = personMask(coverage[f]!);
    const similarity = partialSsim(actual, expected, person);
    return {
      psnr: psnr(actual.data, expected.data),
      ssim: similarity.whole,
      l1: l1(actual.data, expected.data),
      personPsnr: maskedPsnr(actual.data, expected.data, person),
      personSsim: similarity.part,
      personL1: maskedL1(actual.data, expected.data, person),
    };
  });
  const over = (metric: keyof (typeof frames)[number]): number =>
    mean(frames.map((frame) => frame[metric]).filter((value) => !Number.isNaN(value)));
  return finite({
    psnr: over("psnr"),
    ssim: over("ssim"),
    l1: over("l1"),
    personPsnr: over("personPsnr"),
    personSsim: over("personSsim"),
    personL1: over("personL1"),
  });
}
