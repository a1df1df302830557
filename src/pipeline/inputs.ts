import { LoadedModel } from "../diffusion/loaded-model.ts";
import { openModelFolder } from "../diffusion/model-folder.ts";
import { readImage } from "../media/image.ts";
import type { Image } from "../media/pixels.ts";
import { probeVideo } from "../media/video.ts";
import { type CheckedGenerateRequest, workDirOf } from "./request.ts";
import { type SamplingSettings, checkOutput, resolvePlacement, resolveSampling } from "./settings.ts";
import { chooseStages } from "./staging.ts";
import { type Stretch, resolveRate, stretchOf } from "./timing.ts";
import { type VaeTiling, chooseTiling } from "./vae-tiling.ts";

/** A request with its files opened. */
export interface RunInputs {
  readonly request: CheckedGenerateRequest;
  readonly sampling: SamplingSettings;
  /** The reference image as it was given. */
  readonly image: Image;
  /** The part of the driving video that is used; null when only keypoints were given. */
  readonly stretch: Stretch | null;
  /** Tiles that the VAE works in; null where frames stay whole. */
  readonly tiling: VaeTiling | null;
  /** To be released. */
  readonly model: LoadedModel;
}

/**
 * Checks everything that can be checked before work begins, and opens the model.
 * @param notify told what an automatic choice took
 * @throws UserError for the first fault
 */
export async function openInputs(
  request: CheckedGenerateRequest,
  notify: (message: string) => void,
  signal: AbortSignal | undefined,
): Promise<RunInputs> {
  signal?.throwIfAborted();
  const folder = await openModelFolder(request.model);
  const { description } = folder;
  await checkOutput(request);
  const image = await readImage(request.image);
  const video = request.video === undefined ? null : await probeVideo(request.video, signal);
  const fps = await resolveRate(request.fps, description.defaults.fps, video, request.keypoints);
  const sampling = resolveSampling(request, description, fps);
  const stretch = video && stretchOf(request, video);
  const { width, height, segmentFrames: numFrames } = sampling;
  const size = { width, height, numFrames };
  const tiling = await chooseTiling(request, description, size, workDirOf(request), notify);
  const blocksPerStage = chooseStages(request, description, await folder.open("dit"), notify);
  const placement = { ...(await resolvePlacement(request, notify)), blocksPerStage };
  const model = await LoadedModel.of(folder, placement, request.loras);
  return { request, sampling, image, stretch, tiling, model };
}
