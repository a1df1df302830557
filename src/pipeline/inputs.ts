import { LoadedModel } from "../diffusion/loaded-model.ts";
import { openModelFolder } from "../diffusion/model-folder.ts";
import { readImage } from "../media/image.ts";
import type { Image } from "../media/pixels.ts";
import { type VideoInfo, probeVideo } from "../media/video.ts";
import type { CheckedGenerateRequest } from "./request.ts";
import { type SamplingSettings, checkOutput, resolvePlacement, resolveSampling } from "./settings.ts";

/** A request with its files opened. */
export interface RunInputs {
  readonly request: CheckedGenerateRequest;
  readonly sampling: SamplingSettings;
  /** The reference image as it was given. */
  readonly image: Image;
  /** Facts about the driving video; null when only keypoints were given. */
  readonly video: VideoInfo | null;
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
  const { description } = await openModelFolder(request.model);
  const sampling = resolveSampling(request, description);
  await checkOutput(request);
  const image = await readImage(request.image);
  const video = request.video === undefined ? null : await probeVideo(request.video, signal);
  const placement = await resolvePlacement(request, notify);
  const model = await LoadedModel.open(request.model, placement, request.loras);
  return { request, sampling, image, video, model };
}
