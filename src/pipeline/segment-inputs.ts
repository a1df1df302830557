/** What the denoiser is told about each segment: prompt, reference image, driving motion and kept frames. */
import { type KeptFrames, encodeConditions } from "../diffusion/conditions.ts";
import type { SegmentInputs } from "../diffusion/denoiser.ts";
import type { EncodedReference } from "../diffusion/loaded-model.ts";
import { centerCropResize } from "../media/resize.ts";
import type { Driver } from "./driver.ts";
import type { Segment } from "./plan.ts";
import type { Run } from "./run.ts";

/** What all segments are told alike. */
type Scene = Pick<SegmentInputs, "contexts" | "subjectTokens"> & EncodedReference;

export class InputEncoder {
  private scene: Promise<Scene> | null = null;

  constructor(
    private readonly run: Run,
    private readonly driver: Driver,
    private readonly prompt: string,
  ) {}

  /**
   * Draws and encodes the conditions of a segment.
   * @param kept frames of its neighbours
   * @param onStep told how many of all steps (frames drawn, then frames encoded) are done
   */
  async encode(
    segment: Segment,
    kept: KeptFrames,
    onStep: (step: number, of: number) => void,
  ): Promise<SegmentInputs> {
    this.scene ??= this.encodeScene();
    const { model, vae, sampling, signal } = this.run;
    const numFrames = segment.frames.length;
    const videos = await this.driver.render(
      segment.frames,
      sampling,
      model.description.skeleton,
      (numDrawn) => {
        signal?.throwIfAborted();
        onStep(numDrawn, 2 * numFrames);
      },
    );
    const conditions = await encodeConditions(vae, videos, kept);
    onStep(2 * numFrames, 2 * numFrames);
    return { ...conditions, ...(await this.scene) };
  }

  private async encodeScene(): Promise<Scene> {
    const { prompt } = this;
    const { model, vae, sampling, image } = this.run;
    const { negativePrompt, subject, width, height } = sampling;
    const positive = await model.encodePrompt(prompt);
    const negative = await model.encodePrompt(negativePrompt);
    await model.freeTextEncoder();
    return {
      contexts: { positive: positive.context, negative: negative.context },
      subjectTokens: model.subjectTokens(prompt, subject ?? undefined),
      ...(await model.encodeReference(centerCropResize(image, width, height), vae)),
    };
  }
}
