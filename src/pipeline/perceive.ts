/** Finds the driving motion: from a file of poses, or from the driving video. */
import { analyzeFrames, analyzeVideo } from "../perception/analyze-video.ts";
import { type AnalysisSummary, type PersonFrame } from "../perception/person-frame.ts";
import type { VideoInfo } from "../media/video.ts";
import { Driver } from "./driver.ts";
import { writeKeypoints } from "./keypoints-file.ts";
import type { ProgressMeter } from "./progress-meter.ts";
import type { Run } from "./run.ts";
import type { FinishedStep } from "./work-directory.ts";

export interface Perceived {
  readonly driver: Driver;
  /** The step that has found the poses; null when they were given. */
  readonly step: FinishedStep | null;
}

/** @throws UserError when the image or the video shows no person */
export async function perceive(run: Run): Promise<Perceived> {
  const { request, sampling } = run;
  if (request.keypoints !== undefined) {
    return { driver: await Driver.open(request.keypoints, sampling.fps), step: null };
  }
  const step = await run.work.step({
    id: "keypoints",
    files: ["keypoints.jsonl"],
    run: async ([path]) => {
      await checkReference(run);
      const { meter, signal } = run;
      const source = { path: request.video!, info: run.video!, fps: sampling.fps, meter, signal };
      await writeKeypoints(path!, sampling.fps, watchPoses(source));
    },
  });
  const driver = await Driver.open(step.paths[0]!, sampling.fps);
  for (const remark of remarksOn(driver.summary)) run.notify(remark);
  return { driver, step };
}

/** A driving video and how to look at it. */
export interface PoseSource {
  readonly path: string;
  readonly info: VideoInfo;
  /** Frames per second to look at. */
  readonly fps: number;
  readonly meter: ProgressMeter;
  readonly signal: AbortSignal | undefined;
}

/** The poses of a driving video, with progress. */
export async function* watchPoses(source: PoseSource): AsyncGenerator<PersonFrame, void, undefined> {
  const { path, info, fps, meter, signal } = source;
  const of = numFramesAt(fps, info);
  meter.begin("perceive", of);
  let step = 0;
  for await (const frame of analyzeVideo(path, { fps, ...(signal && { signal }) })) {
    step++;
    meter.advance({ activity: "perceive", segment: null, step, of: Math.max(step, of), work: 1 });
    yield frame;
  }
}

/** Frames that a video has when it is resampled to a rate. */
export function numFramesAt(fps: number, { durationS }: VideoInfo): number {
  return Math.max(1, Math.ceil((durationS - TIME_TOLERANCE_S) * fps));
}

/** Containers round times to milliseconds. */
const TIME_TOLERANCE_S = 0.001;

async function checkReference(run: Run): Promise<void> {
  const { request, image, signal } = run;
  const options = signal ? { signal } : {};
  for await (const { numPeople } of analyzeFrames([{ image, timeS: 0 }], options, request.image)) {
    if (numPeople > 1)
      run.notify(`${request.image} shows ${numPeople} people; expected one: the result may mix them`);
  }
}

/** What a user should know about a driving video. */
export function remarksOn({ numFrames, numWithBody, maxPeople }: AnalysisSummary): string[] {
  const remarks: string[] = [];
  if (maxPeople > 1) {
    remarks.push(`the driving video shows up to ${maxPeople} people; the largest one is followed`);
  }
  if (numWithBody < numFrames) {
    remarks.push(
      `no person was found in ${numFrames - numWithBody} of ${numFrames} frames of the driving video`,
    );
  }
  return remarks;
}
