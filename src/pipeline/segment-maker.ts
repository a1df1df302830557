/** Makes the segments of a plan one by one, each from conditions to frames on disk. */
import { type KeptFrames, NOTHING_KEPT } from "../diffusion/conditions.ts";
import { type DenoiseState, denoise, initialState } from "../diffusion/denoise.ts";
import type { Denoiser } from "../diffusion/denoiser.ts";
import { latentShapeOf } from "../diffusion/loaded-model.ts";
import { type Schedule, flowMatchSchedule } from "../diffusion/schedule.ts";
import { segmentCost } from "../diffusion/segment-cost.ts";
import { readFrames, writeFrames } from "../media/frame-store.ts";
import type { Image } from "../media/pixels.ts";
import { float32 } from "../tensor/tensor.ts";
import { type BackgroundSharing, predictAlone } from "./kv-share.ts";
import type { Perceived } from "./perceive.ts";
import type { KeptFrames as KeptRange, Plan, Segment } from "./plan.ts";
import type { Activity } from "./progress.ts";
import type { Run } from "./run.ts";

import { InputEncoder } from "./segment-inputs.ts";
import { SegmentLatents } from "./segment-latents.ts";
import { type SegmentWork, segmentWork } from "./segment-work.ts";
import type { FinishedStep, Step } from "./work-directory.ts";

export class SegmentMaker {
  /** What each segment takes. */
  readonly workPerSegment: SegmentWork;
  private readonly inputs: InputEncoder;
  private readonly schedule: Schedule;
  /** [16, f, h, w] of a segment. */
  private readonly latentShape: readonly number[];
  private readonly finished = new Map<number, FinishedStep>();

  /** @param sharing where base segments share the anchor's background; null when nothing is shared */
  constructor(
    private readonly run: Run,
    private readonly perceived: Perceived,
    private readonly prompt: string,
    private readonly plan: Plan,
    private readonly denoiser: Denoiser,
    private readonly sharing: BackgroundSharing | null,
  ) {
    const { sampling, model, tiling } = run;
    const size = { width: sampling.width, height: sampling.height, numFrames: plan.segmentFrames };
    const { blocksPerStage = null } = model.placement;
    const ways = { site: null, isTiled: tiling !== null, blocksPerStage, int8: model.int8 };
    this.workPerSegment = segmentWork(segmentCost(model.description, size, ways), sampling);
    this.inputs = new InputEncoder(run, perceived.driver, prompt);
    this.schedule = flowMatchSchedule(sampling.numSteps, { shift: sampling.shift });
    this.latentShape = latentShapeOf(model.description, size);
  }

  /** Makes a segment, unless an earlier run has. Interpolated ones come after both of their neighbours. */
  async make(segment: Segment): Promise<void> {
    const { work, meter, signal } = this.run;
    signal?.throwIfAborted();
    const step = this.framesStep(segment);
    let finished = await work.find(step);
    if (finished) meter.skip(this.workPerSegment.total);
    else {
      const onDisk = this.latentsOf(segment);
      const { latents } = await this.denoised(segment, onDisk);
      finished = await work.step({ ...step, run: ([path]) => this.decode(segment, latents, path!) });
      await onDisk.clear();
    }
    this.finished.set(segment.index, finished);
  }

  /** Frames of a segment that has been made: local frames `from` to `to - 1`, by default all. */
  frames({ index }: Segment, from = 0, to = this.plan.segmentFrames): AsyncGenerator<Image> {
    return readFrames(this.finished.get(index)!.paths[0]!, from, to);
  }

  /** Denoises a segment from the last step that is on disk, and keeps every further one there. */
  private async denoised(segment: Segment, onDisk: SegmentLatents): Promise<DenoiseState> {
    const { sampling, meter, signal } = this.run;
    const { encode, step: stepWork } = this.workPerSegment;
    const noise = initialState(this.latentShape, sampling.seed);
    let from = (await onDisk.last()) ?? noise;
    if (from.step === sampling.numSteps) {
      meter.skip(encode + from.step * stepWork);
      return from;
    }

    const inputs = await this.encodeInputs(segment);
    let predict = predictAlone(this.denoiser, inputs, signal);
    if (this.sharing && from.step < this.sharing.endStep && segment.kind !== "interpolated") {
      if (segment.kind === "anchor") {
        // Keys do not outlive a process: those of steps before this run are lost.
        from = noise;
        predict = this.sharing.capture(inputs);
      } else {
        if (!this.sharing.isCaptured) await this.recapture(this.sharing);
        predict = await this.sharing.share(inputs);
      }
    }
    meter.skip(from.step * stepWork);
    return denoise({
      schedule: this.schedule,
      guidanceScale: sampling.guidanceScale,
      from,
      predict,
      signal,
      onStep: async (state) => {
        await onDisk.keep(state);
        this.advance("denoise", segment, state.step, sampling.numSteps, stepWork);
      },
    });
  }

  /** The anchor's early steps once more, for base segments that an interrupted run has left to do. */
  private async recapture(sharing: BackgroundSharing): Promise<void> {
    const { sampling, meter, signal } = this.run;
    const { encode, step: stepWork } = this.workPerSegment;
    const anchor = this.plan.segments.find(({ kind }) => kind === "anchor")!;
    meter.addWork(encode + sharing.endStep * stepWork);
    await denoise({
      schedule: this.schedule,
      guidanceScale: sampling.guidanceScale,
      from: initialState(this.latentShape, sampling.seed),
      untilStep: sharing.endStep,
      predict: sharing.capture(await this.encodeInputs(anchor)),
      signal,
      onStep: ({ step }) => this.advance("recapture", anchor, step, sharing.endStep, stepWork),
    });
  }

  private async encodeInputs(segment: Segment) {
    return this.inputs.encode(segment, await this.keptFrames(segment), (step, of) =>
      this.advance("encode", segment, step, of, step === of ? this.workPerSegment.encode : 0),
    );
  }

  private async keptFrames({ head, tail }: Segment): Promise<KeptFrames> {
    if (!head) return NOTHING_KEPT;
    return { head: await this.collect(head), tail: tail ? await this.collect(tail) : [] };
  }

  private async collect({ segment, from, to }: KeptRange): Promise<Image[]> {
    const frames: Image[] = [];
    for await (const frame of this.frames(this.plan.segments[segment]!, from, to)) frames.push(frame);
    return frames;
  }

  private async decode(segment: Segment, latents: Float32Array, path: string): Promise<void> {
    const decoded = this.run.vae.decode(float32(latents, [1, ...this.latentShape]));
    await writeFrames(path, this.countFrames(segment, decoded));
  }

  /** Passes decoded frames on, with progress. */
  private async *countFrames(segment: Segment, frames: AsyncIterable<Image>): AsyncGenerator<Image> {
    const of = segment.frames.length;
    let step = 0;
    for await (const frame of frames) {
      this.run.signal?.throwIfAborted();
      yield frame;
      this.advance("decode", segment, ++step, of, this.workPerSegment.decode / of);
    }
  }

  private advance(activity: Activity, segment: Segment, step: number, of: number, work: number): void {
    this.run.meter.advance({ activity, segment: segment.index, step, of, work });
  }

  private framesStep(segment: Segment): Omit<Step, "run"> {
    const id = segmentId(segment);
    return { id, files: [segmentFramesFile(segment)], needs: this.needsOf(segment) };
  }

  private latentsOf(segment: Segment): SegmentLatents {
    const { work, sampling } = this.run;
    const needs = this.needsOf(segment);
    return new SegmentLatents(work, segmentId(segment), needs, this.latentShape, sampling.numSteps);
  }

  /** Keys of the steps that a segment is made from, and the prompt, which may be the result of one. */
  private needsOf({ index, kind }: Segment): string[] {
    const poses = this.perceived.step?.key ?? "given";
    if (kind !== "interpolated") return [this.prompt, poses];
    return [this.prompt, poses, this.finished.get(index - 1)!.key, this.finished.get(index + 1)!.key];
  }
}

/** Name of the file in a work directory that holds a segment's frames; see `readFrames`. */
export function segmentFramesFile(segment: Segment): string {
  return `${segmentId(segment)}.frames`;
}

function segmentId({ index }: Segment): string {
  return `segment-${String(index).padStart(4, "0")}`;
}
