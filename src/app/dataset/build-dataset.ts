/** A dataset from a folder of videos. */
import { join, resolve } from "node:path";
import type { z } from "zod";
import type { ModelDescription } from "../../diffusion/model-folder.ts";
import { listModelFiles } from "../../perception/onnx/open-models.ts";
import { checkOptions } from "../../pipeline/request.ts";
import { hashFile } from "../../pipeline/work-directory.ts";
import { UserError, invariant } from "../../tensor/errors.ts";
import type { DatasetClip, DatasetIndex, Rejection } from "../../training/dataset-index.ts";
import { CLIPS_FOLDER, type ClipRecord, clipFile, readClipRecord } from "./clip-record.ts";
import { identifyEncoders, shapesFor } from "./encoders.ts";
import type { VideoClipSettings, VideoJob, VideoSetup } from "./make-video-clip.ts";
import { inOutputFolder } from "./output-folder.ts";
import { type DatasetOptions, ProgressCounter } from "./progress.ts";
import { type BuildRequest, buildRequestSchema, clipSizes } from "./requests.ts";
import { type VideoPlan, planVideos, withoutPath } from "./video-folder.ts";
import { runJobs } from "./worker-pool.ts";
import { writeDatasetIndex } from "./write-index.ts";

type NewIndex = Omit<DatasetIndex, "format">;

/**
 * Cuts, judges and encodes videos. Every clip is kept as soon as it is finished, under a name made of all that it
 * depends on: a run that was stopped or killed goes on, and videos that come to the folder later are added. The number
 * of workers changes nothing.
 * @returns the index, as written to `dataset.json`
 * @throws UserError for bad settings, a model or folder that cannot be read, and when no clip is taken
 */
export async function buildDataset(request: BuildRequest, options: DatasetOptions = {}): Promise<NewIndex> {
  const checked = checkOptions(buildRequestSchema, request);
  const { videos, model, eyes, numWorkers, caption } = checked;
  const out = resolve(checked.out);
  const { description, fingerprint } = await identifyEncoders(model);
  const settings = await settingsOf(checked, description);
  const shapes = shapesFor(description, settings);
  return inOutputFolder(out, [CLIPS_FOLDER], async () => {
    const plan = await planVideos(videos, { settings, fingerprint, caption }, options);
    const setup: VideoSetup = { kind: "video", model, videos, eyes, out, settings, shapes, fingerprint };
    const records = await makeClips(setup, plan.jobs, numWorkers, options);
    const { width, height, fps, numFrames, headFrames, tailFrames, ...rest } = settings;
    const sizes = { width, height, fps, numFrames, headFrames, tailFrames };
    const contents = listClips(plan, records, videos);
    const index: NewIndex = { kind: "video", fingerprint, ...sizes, shapes, settings: rest, ...contents };
    await writeDatasetIndex(out, index);
    if (index.clips.length === 0) throw nothingTaken(out, index.rejected);
    return index;
  });
}

async function settingsOf(
  request: z.output<typeof buildRequestSchema>,
  description: ModelDescription,
): Promise<VideoClipSettings> {
  const { fps = description.defaults.fps, minPersonArea, minHeadConfidence, dropHands, quality } = request;
  const eyes = (await Promise.all((await listModelFiles(request.eyes)).map(hashFile))).join(" ");
  const filters = { minPersonArea, minHeadConfidence, dropHands, quality, ...(eyes && { eyes }) };
  return { ...clipSizes(request, description), fps, ...filters };
}

/** Makes the clips that no earlier run has finished. Returns what became of each, by key. */
async function makeClips(
  setup: VideoSetup,
  jobs: readonly VideoJob[],
  numWorkers: number,
  { signal, onProgress, onNotice }: DatasetOptions,
): Promise<Map<string, ClipRecord>> {
  const records = new Map<string, ClipRecord>();
  const unfinished: VideoJob[] = [];
  for (const job of jobs) {
    const record = await readClipRecord(setup.out, job.key);
    if (record) records.set(job.key, record);
    else unfinished.push(job);
  }
  const counter = new ProgressCounter("clips", jobs.length, records.size, onProgress);
  const pool = { numWorkers, ...(signal && { signal }) };
  await runJobs<VideoJob, ClipRecord>(setup, unfinished, pool, (job, outcome) => {
    if ("crash" in outcome) {
      // Not recorded: where memory was short, the next run may succeed.
      const reason = `the process that worked on it ended with ${outcome.crash}`;
      onNotice?.(`${job.video} at ${job.startS.toFixed(2)} s: ${reason}`);
      records.set(job.key, { reason });
    } else {
      records.set(job.key, outcome.result);
    }
    counter.advance();
  });
  return records;
}

function listClips(
  { jobs, rejected }: VideoPlan,
  records: ReadonlyMap<string, ClipRecord>,
  videos: string,
): Pick<NewIndex, "clips" | "rejected"> {
  const clips: DatasetClip[] = [];
  const notTaken: Rejection[] = [...rejected];
  for (const { key, video, startS, caption } of jobs) {
    const record = records.get(key);
    invariant(record, "every clip has been made or refused");
    if ("reason" in record) {
      notTaken.push({ video, startS, reason: withoutPath(record.reason, join(videos, video)) });
    } else {
      clips.push({ file: clipFile(key), at: 0, caption, source: { video, startS, ...record } });
    }
  }
  return { clips, rejected: notTaken };
}

function nothingTaken(out: string, rejected: readonly Rejection[]): UserError {
  const { video, startS, reason } = rejected[0]!;
  const where = startS === null ? video : `${video} at ${startS.toFixed(2)} s`;
  return new UserError(
    `none of the videos gave a clip. The first reason of ${rejected.length}: ${where}: ${reason}. ` +
      `All stand in ${join(out, "dataset.json")}.`,
  );
}
