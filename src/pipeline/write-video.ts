import { type AudioOutcome, openVideoEncoder } from "../media/video.ts";
import type { Plan, Segment } from "./plan.ts";
import type { Image } from "../media/pixels.ts";
import type { Run } from "./run.ts";
import { stitchImages } from "./stitch.ts";

/**
 * Stitches the segments and writes the video, frame by frame, with the sound of the driving video. The file appears
 * complete or not at all.
 */
export async function writeVideo(
  { request, sampling, stretch, meter, signal }: Run,
  plan: Plan,
  framesOf: (segment: Segment) => AsyncIterable<Image>,
): Promise<AudioOutcome> {
  const { width, height, fps } = sampling;
  const of = plan.numFrames;
  meter.begin("write", of);
  const encoder = await openVideoEncoder(request.out, {
    width,
    height,
    fps,
    ...(request.video !== undefined && { audioFrom: { path: request.video, startS: stretch!.startS } }),
  });
  try {
    let step = 0;
    for await (const frame of stitchImages(plan, framesOf)) {
      signal?.throwIfAborted();
      await encoder.write(frame);
      step++;
      meter.advance({ activity: "write", segment: null, step, of, work: 1 });
    }
    return (await encoder.close()).audio;
  } finally {
    await encoder.abort();
  }
}
