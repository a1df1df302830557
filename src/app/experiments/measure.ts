/** Measures videos of held-out clips. Finished ones are kept, so that a stopped experiment goes on. */
import { join } from "node:path";
import { MODEL_FILES, openModelFolder } from "../../diffusion/model-folder.ts";
import { personFeature } from "../../evaluation/identity-distance.ts";
import { latentFeatures } from "../../evaluation/latent-features.ts";
import type { Image } from "../../media/pixels.ts";
import { BODY_POINTS, UNSEEN, UNSEEN_HAND } from "../../media/pose-keypoints.ts";
import type { PoseTrackerOptions } from "../../perception/pose.ts";
import { type WorkDirectory, hashFile } from "../../pipeline/work-directory.ts";
import { collect } from "../evaluate/collect.ts";
import { clipStep, hashModel, openWork } from "../evaluate/evaluation-folder.ts";
import type { Figures, VideoMetric } from "../evaluate/figures.ts";
import { generateVideos } from "../evaluate/generated-video.ts";
import { type HeldOutClip, renderHeldOutClip } from "../evaluate/held-out-clip.ts";
import { type JobOptions, inJobs } from "../evaluate/jobs.ts";
import { type JudgingTools, openJudgingTools } from "../evaluate/judging-tools.ts";
import { pictureFigures } from "../evaluate/picture-figures.ts";
import { FPS, heldOutSegments } from "../evaluate/series.ts";

export interface MeasureOptions extends JobOptions {
  /** The pose network looks at every poseStep-th frame. */
  readonly poseStep: number;
  readonly poseQuality: NonNullable<PoseTrackerOptions["quality"]>;
  /** Folder of finished clips. */
  readonly work: string;
  /** Told which video of which clip is finished. */
  readonly onClip?: (index: number, title: string) => void;
}

/** One clip of a video, beside its truth. */
export interface MeasuredClip {
  readonly figures: Figures<VideoMetric>;
  /** Of `personFeature`. */
  readonly person: readonly number[];
  /** Of `latentFeatures`. */
  readonly features: readonly number[];
}

/** A video that can be made of every held-out clip. */
export interface Subject {
  /** For people who wait. */
  readonly title: string;
  /** All that its pictures depend on, beside the clip. */
  readonly settings: Readonly<Record<string, number | string>>;
  readonly make: (clip: HeldOutClip, tools: JudgingTools, signal: AbortSignal) => Promise<readonly Image[]>;
}

/** What needs no denoiser: the truth itself, what the VAE makes of it, and the repeated reference. */
export const BASELINES = ["truth", "vae", "reference"] as const;
export type Baseline = (typeof BASELINES)[number];

const MAKE_BASELINE: Readonly<Record<Baseline, Subject["make"]>> = {
  truth: async ({ frames }) => frames,
  vae: async ({ frames }, { vae }) => collect(vae.decode(await vae.encode(frames))),
  reference: async ({ frames, reference }) => frames.map(() => reference),
};

export function baseline(video: Baseline): Subject {
  return { title: video, settings: { video }, make: MAKE_BASELINE[video] };
}

/**
 * What a model generates, as `generate` does.
 * @param skeleton whether it is shown the skeleton, and hand normals with it
 * @param seed of the noise
 */
export async function generated(model: string, skeleton: "given" | "none", seed: number): Promise<Subject> {
  const generation = { model, seed, fps: FPS, threads: 1 };
  return {
    title: skeleton === "given" ? model : `${model}, no skeleton`,
    settings: { video: "generated", generator: await hashModel(model), skeleton, seed },
    async make(clip, _, signal) {
      const shown = skeleton === "given" ? clip : withoutPoses(clip);
      const { video } = await generateVideos(shown, { video: "off" }, { ...generation, signal });
      return video.frames;
    },
  };
}

/** The clip with nobody in its driver: the model sees a black skeleton, as where training has dropped the pose. */
function withoutPoses(clip: HeldOutClip): HeldOutClip {
  const pose = { body: BODY_POINTS.map(() => UNSEEN), leftHand: UNSEEN_HAND, rightHand: UNSEEN_HAND };
  const found = { body: false, leftHand: false, rightHand: false };
  return { ...clip, poses: clip.poses.map((frame) => ({ ...frame, pose, found })) };
}

/** Changes whenever the same settings would give other figures. */
const MEASURE_VERSION = 1;

/**
 * Measures videos of held-out clips of one segment.
 * @param model whose VAE measures, and whose segments' size the clips have
 * @returns for each subject its clips, the first ones of their series
 */
export async function measure(
  subjects: readonly Subject[],
  model: string,
  options: MeasureOptions,
): Promise<MeasuredClip[][]> {
  const { poseStep, poseQuality } = options;
  const { description } = await openModelFolder(model);
  const series = heldOutSegments(description);
  const { width, height, numFrames } = series;
  const vae = await hashFile(join(model, MODEL_FILES.vae));
  const vaeConfig = JSON.stringify(description.vae);
  const common = {
    version: MEASURE_VERSION,
    vae,
    vaeConfig,
    width,
    height,
    numFrames,
    poseStep,
    poseQuality,
  };
  const works: WorkDirectory[] = [];
  try {
    for (const { settings } of subjects) works.push(await openWork(options.work, { ...common, ...settings }));
    const clips = await inJobs(
      options,
      () => openJudgingTools(model, poseQuality),
      async (index, tools, signal) => {
        const clip = renderHeldOutClip(series, index);
        const measured: MeasuredClip[] = [];
        for (const [s, { title, make }] of subjects.entries()) {
          const run = async () => measureVideo(await make(clip, tools, signal), clip, tools, poseStep);
          measured.push(await clipStep(works[s]!, "clip", index, run));
          options.onClip?.(index, title);
        }
        return measured;
      },
    );
    return subjects.map((_, s) => clips.map((clip) => clip[s]!));
  } finally {
    for (const work of works) await work.close();
  }
}

async function measureVideo(
  video: readonly Image[],
  { frames: truth, coverage, poses }: HeldOutClip,
  { vae, judge }: JudgingTools,
  poseStep: number,
): Promise<MeasuredClip> {
  const latents = await vae.encode(video);
  const truePoses = poses.map(({ pose }) => pose);
  return {
    figures: {
      ...pictureFigures(video, truth, coverage),
      ...(await judge.judge(video, truePoses, poseStep)),
    },
    person: [...personFeature(latents, coverage)],
    features: [...latentFeatures(latents)],
  };
}
