/** Finds the driving motion: from a file of poses, or from the driving video. */
import { type Cast, analyzeVideo } from "../perception/analyze-video.ts";
import type { PersonChoice } from "../perception/choose-person.ts";
import type { EyeModels } from "../perception/onnx/open-models.ts";
import { type AnalysisSummary, type PersonFrame } from "../perception/person-frame.ts";
import { openAlignedDriver, remarkOnAlignment } from "./aligned-driver.ts";
import type { Driver } from "./driver.ts";
import { writeKeypoints } from "./keypoints-file.ts";
import type { ProgressMeter } from "./progress-meter.ts";
import { findReference, nobodyIn, severalIn } from "./reference-pose.ts";
import type { Run } from "./run.ts";
import type { Stretch } from "./timing.ts";
import type { FinishedStep } from "./work-directory.ts";

export interface Perceived {
  readonly driver: Driver;
  /** The file of the poses as they were found or given. */
  readonly poses: string;
  /** The step that has found the poses; null when they were given. */
  readonly step: FinishedStep | null;
}

/** @throws UserError when the image or the video shows no person */
export async function perceive(run: Run): Promise<Perceived> {
  const { request, sampling } = run;
  const reference = await lookAtReference(run);
  const step = request.keypoints === undefined ? await findPoses(run) : null;
  const poses = request.keypoints ?? step!.paths[0]!;
  const { fps } = sampling;
  const { driver, alignment } = await openAlignedDriver(poses, fps, reference, request.align, sampling);
  if (step) for (const remark of remarksOn(driver.summary)) run.notify(remark);
  const remark = remarkOnAlignment(alignment, request.align);
  if (remark !== null) run.notify(remark);
  return { driver, poses, step };
}

/** The person of the reference image; null where nobody asks. Too quick to be a step of the work directory. */
async function lookAtReference(run: Run): Promise<PersonFrame | null> {
  const { request, image, signal } = run;
  const isRequired =
    request.keypoints === undefined || request.align === "frame" || request.align === "bones";
  if (!isRequired && request.align === "off") return null;
  const person = await findReference(image, eyesOf(run), signal);
  if (isRequired && !person.found.body) throw nobodyIn(request.image);
  if (person.numPeople > 1) run.notify(severalIn(request.image, person.numPeople));
  return person;
}

async function findPoses(run: Run): Promise<FinishedStep> {
  const { request, sampling, meter, signal } = run;
  return run.work.step({
    id: "keypoints",
    files: ["keypoints.jsonl"],
    run: async ([path]) => {
      const { video, person } = request;
      const look = { eyes: eyesOf(run), person, fps: sampling.fps, meter, signal };
      const source = { path: video!, stretch: run.stretch!, ...look };
      await writeKeypoints(path!, sampling.fps, watchPoses(source));
    },
  });
}

/** The models of a request's own, where the others run. */
function eyesOf({ request, model }: Run): EyeModels {
  return { paths: request.eyes, ...model.placement };
}

/** A driving video and how to look at it. */
export interface PoseSource {
  readonly path: string;
  /** The part of it to look at. */
  readonly stretch: Stretch;
  readonly eyes: EyeModels;
  /** Whom to follow. */
  readonly person: PersonChoice | undefined;
  /** Frames per second to look at. */
  readonly fps: number;
  readonly meter: ProgressMeter;
  readonly signal: AbortSignal | undefined;
}

/** The first look at a frame takes about this share of the time of the second. */
const SURVEY_WORK = 0.3;

/**
 * The poses of a driving video, with progress.
 * @param onPeople told who is in it, before the first pose
 */
export async function* watchPoses(
  source: PoseSource,
  onPeople: (cast: Cast) => void = () => {},
): AsyncGenerator<PersonFrame, void, undefined> {
  const { path, stretch, eyes, person, fps, meter, signal } = source;
  const { startS, endS } = stretch;
  const of = numFramesAt(fps, stretch);
  meter.begin("perceive", of * (1 + SURVEY_WORK));
  const advance = (activity: "survey" | "perceive", step: number, work: number): void =>
    meter.advance({ activity, segment: null, step, of: Math.max(step, of), work });
  const range = { fps, startS, endS, eyes, ...(signal && { signal }) };
  const options = { ...range, onPeople, ...(person !== undefined && { person }) };
  const onSurveyed = (numFrames: number): void => advance("survey", numFrames, SURVEY_WORK);
  let step = 0;
  for await (const frame of analyzeVideo(path, { ...options, onSurveyed })) {
    advance("perceive", ++step, 1);
    yield frame;
  }
}

/** The poses of a driver, with progress: what `watchPoses` gives where they are known already. */
export async function* replayPoses(
  driver: Driver,
  meter: ProgressMeter,
): AsyncGenerator<PersonFrame, void, undefined> {
  const of = driver.numFrames;
  meter.begin("perceive", of);
  for (let index = 0; index < of; index++) {
    yield driver.frame(index);
    meter.advance({ activity: "perceive", segment: null, step: index + 1, of, work: 1 });
  }
}

/** Frames that a video, or a part of one, has when it is resampled to a rate. */
export function numFramesAt(fps: number, { durationS }: Pick<Stretch, "durationS">): number {
  return Math.max(1, Math.ceil((durationS - TIME_TOLERANCE_S) * fps));
}

/** Containers round times to milliseconds. */
const TIME_TOLERANCE_S = 0.001;

/** What a user should know about a driving video. */
export function remarksOn({ maxPeople, absences, cutsS }: AnalysisSummary): string[] {
  const remarks: string[] = [];
  if (maxPeople > 1) {
    remarks.push(
      `the driving video shows up to ${maxPeople} people at once; one is followed: \`posegen prepare\` lists them, ` +
        "--person chooses",
    );
  }
  if (absences.length > 0) {
    const stretches = listed(absences.map(({ fromS, toS }) => `${seconds(fromS)} to ${seconds(toS)}`));
    remarks.push(`the person is not seen at ${stretches} s: the pose is bridged or held there`);
  }
  if (cutsS.length > 0) {
    remarks.push(`the driving video has cuts at ${listed(cutsS.map(seconds))} s: the motion jumps there`);
  }
  return remarks;
}

const seconds = (timeS: number): string => timeS.toFixed(2);

/** Entries of a list that are named before the rest is counted. */
const MAX_LISTED = 6;

function listed(entries: readonly string[]): string {
  const more = entries.length - MAX_LISTED;
  return `${entries.slice(0, MAX_LISTED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
