/** Skeletons and hand normals as videos, to look at. */
import type { SkeletonOptions } from "../media/skeleton.ts";
import { type VideoEncoder, openVideoEncoder } from "../media/video.ts";
import { renderConditions } from "../perception/conditions-video.ts";
import type { Driver } from "./driver.ts";

export interface ConditionsOptions {
  readonly driver: Driver;
  /** Of the videos. */
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly skeleton: SkeletonOptions;
}

/** Writes the conditions of a driver's frames, one after another. */
export class ConditionsWriter {
  /** Frames written so far. */
  private numWritten = 0;

  private constructor(
    private readonly skeletons: VideoEncoder,
    private readonly handNormals: VideoEncoder,
    private readonly options: ConditionsOptions,
  ) {}

  /** @throws UserError when a file cannot be written */
  static async open(
    skeletonPath: string,
    normalsPath: string,
    options: ConditionsOptions,
  ): Promise<ConditionsWriter> {
    const skeletons = await openVideoEncoder(skeletonPath, options);
    try {
      return new ConditionsWriter(skeletons, await openVideoEncoder(normalsPath, options), options);
    } catch (error) {
      await skeletons.abort();
      throw error;
    }
  }

  /** Frames of the driver that are still to be written. */
  get numLeft(): number {
    return this.options.driver.numFrames - this.numWritten;
  }

  /** Draws and adds the conditions of the driver's next frame. */
  async writeNext(): Promise<void> {
    const { driver, skeleton, ...size } = this.options;
    const drawn = renderConditions(await driver.frame(this.numWritten++), size, skeleton);
    await this.skeletons.write(drawn.skeleton);
    await this.handNormals.write(drawn.handNormals);
  }

  async close(): Promise<void> {
    await this.skeletons.close();
    await this.handNormals.close();
  }

  async abort(): Promise<void> {
    await this.skeletons.abort();
    await this.handNormals.abort();
  }
}
