/** What all parts of one run of `generate` share. */
import { LoadedModel } from "../diffusion/loaded-model.ts";
import { openModelFolder } from "../diffusion/model-folder.ts";
import { readImage } from "../media/image.ts";
import type { Image } from "../media/pixels.ts";
import { type VideoInfo, probeVideo } from "../media/video.ts";
import type { Plan } from "./plan.ts";
import { ProgressMeter } from "./progress-meter.ts";
import type { GenerateEvent, GenerateResult, ObservedRunOptions } from "./progress.ts";
import type { CheckedGenerateRequest } from "./request.ts";
import {
  type SamplingSettings,
  checkOutput,
  identifyRun,
  resolvePlacement,
  resolveSampling,
} from "./settings.ts";
import { WorkDirectory } from "./work-directory.ts";

export class Run {
  private readonly startedAt = performance.now();
  private isFinished = false;
  private isClosed = false;

  private constructor(
    readonly request: CheckedGenerateRequest,
    readonly sampling: SamplingSettings,
    /** The reference image as it was given. */
    readonly image: Image,
    /** Facts about the driving video; null when only keypoints were given. */
    readonly video: VideoInfo | null,
    readonly model: LoadedModel,
    readonly work: WorkDirectory,
    readonly meter: ProgressMeter,
    readonly report: (event: GenerateEvent) => void,
    readonly signal: AbortSignal | undefined,
  ) {}

  /**
   * Checks all inputs, then opens the model and the work directory.
   * @throws UserError for the first fault of the inputs; nothing is left behind then
   */
  static async open(
    request: CheckedGenerateRequest,
    { signal, onProgress = () => {} }: ObservedRunOptions,
  ): Promise<Run> {
    signal?.throwIfAborted();
    const { description } = await openModelFolder(request.model);
    const sampling = resolveSampling(request, description);
    await checkOutput(request);
    const image = await readImage(request.image);
    const video = request.video === undefined ? null : await probeVideo(request.video, signal);
    const placement = await resolvePlacement(request, (message) => onProgress({ type: "notice", message }));
    const model = await LoadedModel.open(request.model, placement);
    try {
      const settings = await identifyRun(request, sampling, placement);
      const folder = request.workDir ?? `${request.out}.work`;
      const work = await WorkDirectory.open(folder, settings, !request.resume);
      const meter = new ProgressMeter(onProgress);
      return new Run(request, sampling, image, video, model, work, meter, onProgress, signal);
    } catch (error) {
      await model.release();
      throw error;
    }
  }

  /** Tells the user something. */
  notify(message: string): void {
    this.report({ type: "notice", message });
  }

  /** Ends a run whose result is in its place. */
  async finish(outcome: Pick<GenerateResult, "sharing" | "audio"> & { plan: Plan }): Promise<GenerateResult> {
    const { plan, sharing, audio } = outcome;
    const { width, height, fps } = this.sampling;
    this.isFinished = true;
    await this.close();
    const result: GenerateResult = {
      out: this.request.out,
      numFrames: plan.numFrames,
      fps,
      width,
      height,
      numSegments: plan.segments.length,
      audio,
      sharing,
      durationMs: performance.now() - this.startedAt,
      workDir: this.request.workDir ?? null,
    };
    this.report({ type: "finished", result });
    return result;
  }

  /** Ends the networks. The work stays for a later run, unless there is none or it has done its service. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await this.model.release();
    const isUseful = !this.isFinished && !(await this.work.isEmpty());
    if (this.request.workDir !== undefined || isUseful) await this.work.close();
    else await this.work.remove();
  }
}
