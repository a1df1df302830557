/** One held-out clip of a long video: generated in one run, and looked at frame by frame. */
import type { VideoVae } from "../../diffusion/latents.ts";
import { personFeature } from "../../evaluation/identity-distance.ts";
import { commonBackground, maskedPsnr } from "../../evaluation/masked-errors.ts";
import { frameChanges } from "../../evaluation/seam-jump.ts";
import { cosineSimilarity } from "../../evaluation/temporal-consistency.ts";
import type { Image } from "../../media/pixels.ts";
import { contactSheet, groupedRow } from "../evaluate/contact-sheet.ts";
import type { PicturedClip } from "../evaluate/evaluation-folder.ts";
import { type Figures, type VideoName, finite } from "../evaluate/figures.ts";
import { type GenerationOptions, generateVideos } from "../evaluate/generated-video.ts";
import type { HeldOutClip } from "../evaluate/held-out-clip.ts";
import { personMask } from "../evaluate/picture-figures.ts";
import { reconstruct } from "../evaluate/reconstruction.ts";
import { seamsOf } from "../evaluate/segment-figures.ts";
import { FPS } from "../evaluate/series.ts";

/** The videos that are followed through time. */
export const LONG_VIDEOS = ["truth", "vae", "generated"] as const satisfies readonly VideoName[];
export type LongVideo = (typeof LONG_VIDEOS)[number];

/**
 * Figures of a frame: cosine similarity of its features and those of the frame before, and of the first one; L1 change
 * from the frame before; PSNR of the pixels that the person does not cover at all, and of those that it covers half.
 */
export type FrameMetric = "consistency" | "firstConsistency" | "change" | "backgroundPsnr" | "personPsnr";

export interface MeasuredFrame {
  /** The first frame has nothing before it; equal pictures have no PSNR. */
  readonly figures: Figures<FrameMetric>;
  /** Of `personFeature`. */
  readonly person: readonly number[];
}

export interface LongClip {
  readonly index: number;
  readonly caption: string;
  /** Frames at which segments begin and end; see `seamsOf`. */
  readonly seams: readonly number[];
  /** The person of the reference, as `MeasuredFrame.person`. */
  readonly reference: readonly number[];
  readonly videos: Readonly<Record<LongVideo, readonly MeasuredFrame[]>>;
}

/**
 * Generates a clip as `generate` does, and measures it.
 * @param vae the model's; its latents are the features
 * @param sheetFrames frames shown in the clip's rows of the contact sheet: the truth above, generated below
 */
export async function measureLongClip(
  clip: HeldOutClip,
  vae: VideoVae,
  sheetFrames: readonly number[],
  generation: GenerationOptions & { readonly signal: AbortSignal },
): Promise<PicturedClip<LongClip>> {
  const { index, caption, frames: truth, reference, referenceCoverage } = clip;
  const { video } = await generateVideos(clip, { video: "auto" }, { ...generation, fps: FPS });
  const { plan, frames: generated } = video;
  const framesOf = (frames: readonly Image[]) => measureFrames(frames, clip, vae);
  const rows = [truth, generated].map((frames) =>
    groupedRow([[reference], sheetFrames.map((frame) => frames[frame]!)]),
  );
  return {
    figures: {
      index,
      caption,
      seams: [...seamsOf(plan)],
      reference: [...personFeature(await vae.encode([reference]), [referenceCoverage])],
      videos: {
        truth: await framesOf(truth),
        vae: await framesOf(await reconstruct(truth, plan, vae)),
        generated: await framesOf(generated),
      },
    },
    row: contactSheet(rows),
  };
}

/**
 * Measures each frame by itself, beside its neighbour, the first frame and the truth.
 *
 * The features are the VAE's latents of the frame alone, as of a picture (the paper's are DINO's, Tab. 5): they know
 * where something is and what it looks like. The model's image encoder sees less, at 48 pixels: all its similarities lie
 * within a few hundredths below 1.
 */
export async function measureFrames(
  video: readonly Image[],
  { frames: truth, coverage }: Pick<HeldOutClip, "frames" | "coverage">,
  vae: VideoVae,
): Promise<MeasuredFrame[]> {
  const changes = frameChanges(video);
  const measured: MeasuredFrame[] = [];
  let first: Float32Array | undefined;
  let previous: Float32Array | undefined;
  for (const [f, frame] of video.entries()) {
    const latents = await vae.encode([frame]);
    const features = latents.data;
    const expected = truth[f]!.data;
    const covered = coverage[f]!;
    measured.push({
      figures: finite({
        consistency: previous ? cosineSimilarity(previous, features) : NaN,
        firstConsistency: first ? cosineSimilarity(first, features) : NaN,
        change: changes[f - 1] ?? NaN,
        backgroundPsnr: maskedPsnr(frame.data, expected, commonBackground(covered, covered)),
        personPsnr: maskedPsnr(frame.data, expected, personMask(covered)),
      }),
      person: [...personFeature(latents, [covered])],
    });
    first ??= features;
    previous = features;
  }
  return measured;
}
