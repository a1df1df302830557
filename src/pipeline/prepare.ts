/** Conditions only: what is seen in a driving video, to look at and to generate from. */
import { mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { openModelFolder } from "../diffusion/model-folder.ts";
import { writeFileAtomically } from "../files/atomic-file.ts";
import { readImage, writeImage } from "../media/image.ts";
import { readAhead } from "../media/read-ahead.ts";
import { type VideoInfo, probeVideo } from "../media/video.ts";
import type { AlignmentMode } from "../perception/alignment-plan.ts";
import type { Cast } from "../perception/analyze-video.ts";
import type { BackgroundMotion } from "../perception/background-motion.ts";
import type { PersonSummary } from "../perception/choose-person.ts";
import type { EyeModels } from "../perception/onnx/open-models.ts";
import type { Absence, PersonFrame } from "../perception/person-frame.ts";
import { UserError } from "../tensor/errors.ts";
import { openAlignedDriver, remarkOnAlignment } from "./aligned-driver.ts";
import { type Stillness, judgeSegments, remarkOnAnchor, stillest } from "./anchor.ts";
import { type BackgroundSource, watchBackground } from "./background.ts";
import { planSegments } from "./plan.ts";
import { alignmentSheet } from "./alignment-sheet.ts";
import { Driver } from "./driver.ts";
import { writeKeypoints } from "./keypoints-file.ts";
import { OverlayWriter } from "./overlay.ts";
import { remarksOn, replayPoses, watchPoses } from "./perceive.ts";
import { findReference, nobodyIn, severalIn } from "./reference-pose.ts";
import { ProgressMeter } from "./progress-meter.ts";
import type { ObservedRunOptions } from "./progress.ts";
import { resolveRate, stretchOf } from "./timing.ts";
import { type PrepareRequest, type Shot, checkPrepareRequest } from "./request.ts";
import { writeConditions } from "./write-conditions.ts";

/** What `prepare` found and wrote; also the content of its summary.json. */
export interface Preparation {
  readonly numFrames: number;
  readonly fps: number;
  /** Size of the conditions. */
  readonly width: number;
  readonly height: number;
  readonly numWithBody: number;
  readonly numWithLeftHand: number;
  readonly numWithRightHand: number;
  /** Most people seen at once. */
  readonly maxPeople: number;
  /** Who is in the driving video, and the number of the one who is followed; nobody and 0 when poses were given. */
  readonly people: readonly PersonSummary[];
  readonly followed: number;
  /** Stretches of frames without the person: their pose there is bridged or held. */
  readonly absences: readonly Absence[];
  /** Times of the driving video's cuts, seconds. */
  readonly cutsS: readonly number[];
  /** How much of the person is seen, as `auto` sharing takes it. */
  readonly shot: Shot;
  /** How the motion was fitted to the reference; `off` without one, or where it fits already. */
  readonly align: AlignmentMode;
  /** How still the background is in each base segment of the model's length; empty without a video. */
  readonly stillness: readonly Stillness[];
  /** The segment that `auto` takes for the anchor. */
  readonly anchor: number;
  /** What a user should know. */
  readonly remarks: readonly string[];
  /** Paths of the files. */
  readonly files: {
    /** Poses, one line of JSON per frame; a request's `keypoints`. Null when they were given. */
    readonly keypoints: string | null;
    readonly skeleton: string;
    readonly handNormals: string;
    /** The skeleton over the driving video; null when there is none. */
    readonly overlay: string | null;
    /** The motion over the reference image, before and after it was fitted; null without a reference. */
    readonly alignment: string | null;
    readonly summary: string;
  };
}

/**
 * Finds the person in a driving video and writes poses, skeletons, hand normals and an overlay into a folder.
 * @throws UserError for bad input; the signal's reason when it is aborted
 */
export async function prepare(
  request: PrepareRequest,
  options: ObservedRunOptions = {},
): Promise<Preparation> {
  const { video, image, person, keypoints, model, align, out, ...rest } = checkPrepareRequest(request);
  const { signal, onProgress = () => {} } = options;
  const { defaults, skeleton } = (await openModelFolder(model)).description;
  const { size = defaults } = rest;
  const { width, height } = size;
  const meter = new ProgressMeter(onProgress);
  const info = video === undefined ? null : await probeVideo(video, signal);
  const stretch = info && stretchOf(rest, info);
  const fps = await resolveRate(rest.fps, defaults.fps, info, keypoints);
  const eyes = { paths: rest.eyes, threads: availableParallelism() };
  const reference = image === undefined ? null : await lookAt(image, eyes, signal);
  await mkdir(out, { recursive: true }).catch((cause: Error) => {
    throw new UserError(`cannot make the folder ${out}: ${cause.message}`, { cause });
  });
  const poses = keypoints ?? join(out, "keypoints.jsonl");
  const files = {
    keypoints: keypoints === undefined ? poses : null,
    skeleton: join(out, "skeleton.mp4"),
    handNormals: join(out, "hand-normals.mp4"),
    overlay: info && join(out, "overlay.mp4"),
    alignment: reference && join(out, "alignment.png"),
    summary: join(out, "summary.json"),
  };
  let cast: Cast = { people: [], followed: 0 };
  const motions: BackgroundMotion[] = [];
  const showOn = (people: AsyncIterable<PersonFrame>): AsyncIterable<PersonFrame> =>
    info
      ? overlaid(people, files.overlay!, info, { video: video!, stretch: stretch!, fps, signal }, motions)
      : people;
  if (keypoints === undefined) {
    const source = { path: video!, stretch: stretch!, eyes, person, fps, meter, signal };
    const people = watchPoses(source, (found) => (cast = found));
    // Who is in a frame is found while that of the frames before is shown.
    await writeKeypoints(poses, fps, showOn(readAhead(people, POSES_AHEAD)));
  }
  const given = await Driver.open(poses, fps);
  if (keypoints !== undefined && info) for await (const _ of showOn(replayPoses(given, meter)));
  const { driver, alignment } = await openAlignedDriver(poses, fps, reference?.person ?? null, align, size);
  const fitted = reference && remarkOnAlignment(alignment, align);
  const remarks = [
    ...(reference?.remarks ?? []),
    ...remarksOn(driver.summary),
    ...(fitted === null ? [] : [fitted]),
  ];
  const videos = { driver, width, height, fps, skeleton, meter, signal };
  await writeConditions(files.skeleton, files.handNormals, videos);
  const plan = planSegments(driver.numFrames, { segmentFrames: defaults.segmentFrames });
  const stillness = info ? judgeSegments(plan, motions) : [];
  const anchor = stillness.length > 1 ? stillest(stillness) : null;
  const onAnchor = anchor && remarkOnAnchor(anchor);
  if (onAnchor !== null) remarks.push(onAnchor);
  for (const message of remarks) onProgress({ type: "notice", message });

  if (reference) {
    const sheet = await alignmentSheet(reference.image, reference.person, given, driver, size);
    await writeImage(files.alignment!, sheet);
  }
  const { numFrames, shot } = driver;
  const found = { ...driver.summary, ...cast, numFrames, fps, width, height, shot };
  const chosen = { align: alignment?.mode ?? "off", anchor: anchor?.segment ?? 0 } as const;
  const preparation: Preparation = { ...found, ...chosen, stillness, remarks, files };
  await writeFileAtomically(files.summary, async (handle) => {
    await handle.writeFile(`${JSON.stringify(preparation, null, 1)}\n`);
  });
  return preparation;
}

/** The person of a reference image. */
async function lookAt(path: string, eyes: EyeModels, signal: AbortSignal | undefined) {
  const image = await readImage(path);
  const person = await findReference(image, eyes, signal);
  if (!person.found.body) throw nobodyIn(path);
  return { image, person, remarks: person.numPeople > 1 ? [severalIn(path, person.numPeople)] : [] };
}

/** Poses that are found while the frames before theirs are shown. */
const POSES_AHEAD = 4;

/**
 * Writes the overlay of a driving video: one reading of it serves to look at people and to follow the background.
 * @param motions gets how the background moves from frame to frame
 * @returns the same people
 */
async function* overlaid(
  people: AsyncIterable<PersonFrame>,
  path: string,
  info: VideoInfo,
  source: BackgroundSource,
  motions: BackgroundMotion[],
): AsyncGenerator<PersonFrame, void, undefined> {
  const overlay = await OverlayWriter.open(path, source, info);
  try {
    for await (const { image, person, motion } of watchBackground(source, people)) {
      motions.push(motion);
      await overlay.write(image, person);
      yield person;
    }
    await overlay.close();
  } finally {
    await overlay.abort();
  }
}
