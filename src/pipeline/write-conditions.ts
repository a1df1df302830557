/** Skeletons and hand normals as videos, to look at. */
import type { SkeletonOptions } from "../media/skeleton.ts";
import { type VideoEncoder, openVideoEncoder } from "../media/video.ts";
import { renderConditions } from "../perception/conditions-video.ts";
import type { Driver } from "./driver.ts";
import type { ProgressMeter } from "./progress-meter.ts";

export interface ConditionsVideos {
  readonly driver: Driver;
  /** Of the videos. */
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly skeleton: SkeletonOptions;
  readonly meter: ProgressMeter;
  readonly signal: AbortSignal | undefined;
}

/**
 * Writes the conditions of all frames of a driver.
 * @throws UserError when a file cannot be written
 */
export async function writeConditions(
  skeletonPath: string,
  normalsPath: string,
  videos: ConditionsVideos,
): Promise<void> {
  const skeletons = await openVideoEncoder(skeletonPath, videos);
  try {
    const handNormals = await openVideoEncoder(normalsPath, videos);
    try {
      await drawInto(skeletons, handNormals, videos);
      await skeletons.close();
      await handNormals.close();
    } finally {
      await handNormals.abort();
    }
  } finally {
    await skeletons.abort();
  }
}

async function drawInto(
  skeletons: VideoEncoder,
  handNormals: VideoEncoder,
  { driver, width, height, skeleton, meter, signal }: ConditionsVideos,
): Promise<void> {
  const of = driver.numFrames;
  meter.begin("write", of);
  for (let step = 1; step <= of; step++) {
    signal?.throwIfAborted();
    const drawn = renderConditions(await driver.frame(step - 1), { width, height }, skeleton);
    await skeletons.write(drawn.skeleton);
    await handNormals.write(drawn.handNormals);
    meter.advance({ activity: "write", segment: null, step, of, work: 1 });
  }
}
