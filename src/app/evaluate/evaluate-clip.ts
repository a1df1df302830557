/** One held-out clip: generated, compared with its truth and with what needs no model. */
import type { Image } from "../../media/pixels.ts";
import { contactRow } from "./contact-sheet.ts";
import type { PicturedClip } from "./evaluation-folder.ts";
import type { ClipFigures, Figures, VideoMetric, VideoName } from "./figures.ts";
import { type GenerationOptions, generateVideos } from "./generated-video.ts";
import type { HeldOutClip } from "./held-out-clip.ts";
import { pictureFigures } from "./picture-figures.ts";
import type { JudgingTools } from "./judging-tools.ts";
import { reconstruct } from "./reconstruction.ts";
import { continuityFigures, sharingFigures } from "./segment-figures.ts";
import type { TrainingClips } from "./training-clips.ts";

/** What the evaluation of a clip works with. */
export interface EvaluationTools extends JudgingTools {
  readonly trainingClips: TrainingClips;
  readonly generation: GenerationOptions & { readonly fps: number };
  /** The pose network looks at every poseStep-th frame. */
  readonly poseStep: number;
}

/** @param signal stops with its reason between the steps of generation */
export async function evaluateClip(
  clip: HeldOutClip,
  tools: EvaluationTools,
  signal?: AbortSignal,
): Promise<PicturedClip<ClipFigures>> {
  const { frames: truth, coverage } = clip;
  const poses = clip.poses.map(({ pose }) => pose);
  const { generated, unshared } = await generateVideos(
    clip,
    { generated: "auto", unshared: "off" },
    { ...tools.generation, signal },
  );
  const { plan, sharing } = generated;
  const videos: Readonly<Record<VideoName, readonly Image[]>> = {
    truth,
    vae: await reconstruct(truth, plan, tools.vae),
    generated: generated.frames,
    unshared: unshared.frames,
    reference: truth.map(() => clip.reference),
    nearest: tools.trainingClips.nearestVideo(poses.map(({ body }) => body)),
  };
  const figuresOf = async (name: VideoName): Promise<Figures<VideoMetric>> => ({
    ...pictureFigures(videos[name], truth, coverage),
    ...(await tools.judge.judge(videos[name], poses, tools.poseStep)),
    ...(name === "reference" || name === "nearest" ? {} : continuityFigures(videos[name], plan)),
  });
  const sharingOf = (name: VideoName) => sharingFigures(videos[name], truth, coverage, plan);
  return {
    figures: {
      index: clip.index,
      caption: clip.caption,
      shot: sharing?.shot ?? null,
      videos: {
        truth: await figuresOf("truth"),
        vae: await figuresOf("vae"),
        generated: await figuresOf("generated"),
        unshared: await figuresOf("unshared"),
        reference: await figuresOf("reference"),
        nearest: await figuresOf("nearest"),
      },
      sharing: {
        truth: sharingOf("truth"),
        unshared: sharingOf("unshared"),
        generated: sharingOf("generated"),
      },
    },
    row: contactRow(clip, videos),
  };
}
