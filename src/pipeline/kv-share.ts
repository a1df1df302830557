/**
 * Background KV-sharing over the segments of a video (method section 5): in early steps and deep blocks the anchor's
 * keys and values of its background are kept in memory, or on disk where that is asked for, and base segments read them.
 * They do not outlive the process: a run that goes on after an interruption makes them again, by the anchor's early
 * steps from the same noise.
 */
import {
  type AnchorStep,
  type Denoiser,
  type SegmentInputs,
  type SharingSite,
  type SubjectMasks,
  newAnchorStep,
} from "../diffusion/denoiser.ts";
import type { Predict } from "../diffusion/denoise.ts";
import { invariant } from "../tensor/errors.ts";
import { type KeyKeeping, type SharingPlan, isWithin, siteOf } from "./sharing-plan.ts";

/** Velocities of a segment that shares nothing. */
export function predictAlone(denoiser: Denoiser, inputs: SegmentInputs, signal?: AbortSignal): Predict {
  return (call) => denoiser.predict(inputs, { ...call, signal });
}

/** What the anchor has left for the base segments. */
export class BackgroundSharing {
  private readonly site: SharingSite;
  /** By denoising step. */
  private readonly anchor = new Map<number, AnchorStep>();

  constructor(
    private readonly denoiser: Denoiser,
    private readonly plan: SharingPlan,
    private readonly signal?: AbortSignal,
    keeping: KeyKeeping = {},
  ) {
    this.site = siteOf(plan, keeping);
  }

  /** The step after the last one that shares: from there on a segment needs no other. */
  get endStep(): number {
    return this.plan.steps[1];
  }

  /** True once the anchor has gone through all steps that share. */
  get isCaptured(): boolean {
    return this.anchor.has(this.endStep - 1);
  }

  /** Velocities of the anchor, which leaves its background on the way. It has to start from noise. */
  capture(inputs: SegmentInputs): Predict {
    return ({ step, ...call }) => {
      if (!isWithin(this.plan.steps, step))
        return this.denoiser.predict(inputs, { ...call, signal: this.signal });
      const into = this.anchor.get(step) ?? newAnchorStep();
      this.anchor.set(step, into);
      return this.denoiser.capture(inputs, { ...call, signal: this.signal }, this.site, into);
    };
  }

  /** Velocities of a base segment. The anchor has been captured: the graphs for that are closed. */
  async share(inputs: SegmentInputs): Promise<Predict> {
    await this.denoiser.close("capture");
    let own: SubjectMasks = new Map();
    return ({ step, ...call }) => {
      if (!isWithin(this.plan.steps, step))
        return this.denoiser.predict(inputs, { ...call, signal: this.signal });
      const from = this.anchor.get(step);
      invariant(from, `the anchor has not been through step ${step}`);
      if (call.branch === "positive") own = new Map();
      return this.denoiser.share(inputs, { ...call, signal: this.signal }, this.site, from, own);
    };
  }

  /** Frees the anchor's keys, and the graphs that read and write them. */
  async release(): Promise<void> {
    await this.denoiser.forget(this.anchor.values());
    this.anchor.clear();
    await this.denoiser.close("capture");
    await this.denoiser.close("share");
  }
}
