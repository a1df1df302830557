import { readFile, writeFile } from "node:fs/promises";
import type { DenoiseState } from "../diffusion/denoise.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { Step, WorkDirectory } from "./work-directory.ts";

/** The latents of one segment in a work directory: those after the last finished denoising step. */
export class SegmentLatents {
  /**
   * @param id of the segment's steps in the work directory
   * @param needs keys of the steps that the segment is made from
   * @param shape of the latents
   */
  constructor(
    private readonly work: WorkDirectory,
    private readonly id: string,
    private readonly needs: readonly string[],
    private readonly shape: readonly number[],
    private readonly numSteps: number,
  ) {}

  /** Puts the latents of a step in the place of those before. */
  async keep({ step, latents }: DenoiseState): Promise<void> {
    const bytes = new Uint8Array(latents.buffer, latents.byteOffset, latents.byteLength);
    await this.work.step({ ...this.step(step), run: ([path]) => writeFile(path!, bytes) });
    await this.discard(step - 1);
  }

  /** The furthest latents that are there and whole, or null. */
  async last(): Promise<DenoiseState | null> {
    for (let step = this.numSteps; step > 0; step--) {
      const found = await this.work.find(this.step(step));
      if (!found) continue;
      const latents = new Float32Array(sizeOf(this.shape));
      new Uint8Array(latents.buffer).set(await readFile(found.paths[0]!));
      return { step, latents };
    }
    return null;
  }

  /** Removes whatever is there. */
  async clear(): Promise<void> {
    for (let step = 1; step <= this.numSteps; step++) await this.discard(step);
  }

  private async discard(step: number): Promise<void> {
    const { id, files } = this.step(step);
    await this.work.discard(id, files);
  }

  private step(step: number): Omit<Step, "run"> {
    const id = `${this.id}-step-${String(step).padStart(4, "0")}`;
    return { id, files: [`${id}.latents`], needs: this.needs };
  }
}
