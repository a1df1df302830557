/** A dataset of rendered people. */
import { join, resolve } from "node:path";
import { exists } from "../../files/exists.ts";
import { checkOptions } from "../../pipeline/request.ts";
import { UserError } from "../../tensor/errors.ts";
import { shardName } from "../../training/dataset.ts";
import { type DatasetIndex, datasetJson, readDatasetIndex } from "../../training/dataset-index.ts";
import type { ClipRecipe } from "../../training/render-training-clip.ts";
import { avatarIndex, CLIPS_PER_SHARD } from "./avatar-series.ts";
import { identifyEncoders, shapesFor } from "./encoders.ts";
import type { AvatarJob, AvatarSetup } from "./make-avatar-clips.ts";
import { inOutputFolder } from "./output-folder.ts";
import { type DatasetOptions, ProgressCounter } from "./progress.ts";
import { type RenderRequest, clipSizes, renderRequestSchema } from "./requests.ts";
import { runJobs } from "./worker-pool.ts";
import { writeDatasetIndex } from "./write-index.ts";

type NewIndex = Omit<DatasetIndex, "format">;

/**
 * Renders and encodes the first clips of a series, file by file. The index is written first, so that training can
 * begin on the clips that are there. A run that was stopped or killed goes on; asked for more clips, it adds them. The
 * number of workers changes nothing.
 * @returns the index, as written to `dataset.json`
 * @throws UserError for bad settings, a model that cannot be read, and a folder that holds another dataset
 */
export async function renderDataset(
  request: RenderRequest,
  { signal, onProgress }: DatasetOptions = {},
): Promise<NewIndex> {
  const { model, numWorkers, series, world, numClips, ...rest } = checkOptions(renderRequestSchema, request);
  const out = resolve(rest.out);
  const { description, fingerprint } = await identifyEncoders(model);
  const recipe: ClipRecipe = { series, world, ...clipSizes(rest, description) };
  const shapes = shapesFor(description, recipe);
  const index = avatarIndex(recipe, numClips, shapes, fingerprint);
  return inOutputFolder(out, [], async () => {
    await checkFolder(out, index);
    await writeDatasetIndex(out, index);
    const numFiles = Math.ceil(numClips / CLIPS_PER_SHARD);
    const unfinished: AvatarJob[] = [];
    for (let shard = 0; shard < numFiles; shard++) {
      if (!(await exists(join(out, shardName(shard))))) unfinished.push(shard);
    }
    const setup: AvatarSetup = { kind: "avatar", model, out, recipe, shapes, fingerprint };
    const reused = numFiles - unfinished.length;
    const counter = new ProgressCounter(`files of ${CLIPS_PER_SHARD} clips`, numFiles, reused, onProgress);
    const pool = { numWorkers, ...(signal && { signal }) };
    await runJobs<AvatarJob, void>(setup, unfinished, pool, (shard, outcome) => {
      if ("crash" in outcome) {
        throw new Error(`the process that made ${shardName(shard)} ended with ${outcome.crash}`);
      }
      counter.advance();
    });
    return index;
  });
}

/** Files are named by number: those of another series must not pass for this one's. */
async function checkFolder(out: string, index: NewIndex): Promise<void> {
  const found = await readDatasetIndex(out).catch(() => null);
  if (found === null) return;
  const facts = (of: NewIndex): string => datasetJson({ ...of, clips: [], rejected: [] });
  if (facts(found) === facts(index)) return;
  throw new UserError(
    `${out} holds a dataset made with other settings. Remove it, or choose another folder.`,
  );
}
