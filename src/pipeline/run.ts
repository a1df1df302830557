/** What all parts of one run of `generate` share. */
import type { VideoCodec } from "../diffusion/latents.ts";
import type { LoadedModel } from "../diffusion/loaded-model.ts";
import { TiledVae } from "../diffusion/tiled-vae.ts";
import type { Image } from "../media/pixels.ts";
import { type RunInputs, openInputs } from "./inputs.ts";
import type { Plan } from "./plan.ts";
import { ProgressMeter } from "./progress-meter.ts";
import type { GenerateEvent, GenerateResult, ObservedRunOptions } from "./progress.ts";
import { type CheckedGenerateRequest, workDirOf } from "./request.ts";
import { type SamplingSettings, identifyRun } from "./settings.ts";
import type { Stretch } from "./timing.ts";
import type { VaeTiling } from "./vae-tiling.ts";
import { WorkDirectory } from "./work-directory.ts";

export class Run {
  private readonly startedAt = performance.now();
  private isFinished = false;
  private isClosed = false;

  readonly request: CheckedGenerateRequest;
  readonly sampling: SamplingSettings;
  readonly image: Image;
  readonly stretch: Stretch | null;
  readonly tiling: VaeTiling | null;
  readonly model: LoadedModel;
  /** The model's VAE, in tiles where the run asks for them. */
  readonly vae: VideoCodec;
  readonly meter: ProgressMeter;

  private constructor(
    inputs: RunInputs,
    readonly work: WorkDirectory,
    readonly report: (event: GenerateEvent) => void,
    readonly signal: AbortSignal | undefined,
  ) {
    const { request, sampling, image, stretch, tiling, model } = inputs;
    this.request = request;
    this.sampling = sampling;
    this.image = image;
    this.stretch = stretch;
    this.tiling = tiling;
    this.model = model;
    this.vae = tiling ? new TiledVae(model.vae) : model.vae;
    this.meter = new ProgressMeter(report);
  }

  /**
   * Checks all inputs, then opens the work directory.
   * @throws UserError for the first fault; nothing is left behind then
   */
  static async open(
    request: CheckedGenerateRequest,
    { signal, onProgress = () => {} }: ObservedRunOptions,
  ): Promise<Run> {
    const notify = (message: string): void => onProgress({ type: "notice", message });
    const inputs = await openInputs(request, notify, signal);
    const { sampling, tiling, model } = inputs;
    try {
      const settings = await identifyRun(request, sampling, tiling !== null, model.placement);
      const work = await WorkDirectory.open(workDirOf(request), settings, !request.resume);
      return new Run(inputs, work, onProgress, signal);
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
