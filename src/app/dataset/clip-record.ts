/** What became of one clip of a video, kept beside its file: finished work is recognised by it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomically } from "../../files/atomic-file.ts";

const recordSchema = z.union([
  z.object({
    /** Time of the reference in the video, seconds. */
    referenceS: z.number(),
    handsDropped: z.boolean(),
    personArea: z.number(),
    headConfidence: z.number(),
  }),
  z.object({ reason: z.string() }),
]);

/** Facts of a clip that was taken, or why it was not. */
export type ClipRecord = z.infer<typeof recordSchema>;

/** Below a dataset's folder: clips of videos and their records, named after a hash of all that they depend on. */
export const CLIPS_FOLDER = "clips";

/** The file of a clip, below the dataset's folder. */
export function clipFile(key: string): string {
  return `${CLIPS_FOLDER}/${key}.safetensors`;
}

function recordPath(out: string, key: string): string {
  return join(out, CLIPS_FOLDER, `${key}.json`);
}

/** Written last: a clip with a record is finished. */
export async function writeClipRecord(out: string, key: string, record: ClipRecord): Promise<void> {
  await writeFileAtomically(recordPath(out, key), (handle) =>
    handle.writeFile(`${JSON.stringify(record)}\n`),
  );
}

/** The record of a finished clip, or null. */
export async function readClipRecord(out: string, key: string): Promise<ClipRecord | null> {
  const text = await readFile(recordPath(out, key), "utf8").catch(() => null);
  if (text === null) return null;
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    // Not one of ours, or damaged: the clip is made again.
    return null;
  }
}
