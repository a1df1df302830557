/** One file of rendered clips. */
import { join } from "node:path";
import { type ClipShapes, type StoredClip, shardName, writeClips } from "../../training/dataset.ts";
import { type ClipRecipe, makeTrainingClip } from "../../training/render-training-clip.ts";
import { CLIPS_PER_SHARD } from "./avatar-series.ts";
import { openEncoders } from "./encoders.ts";

/** What every job of a series shares. */
export interface AvatarSetup {
  readonly kind: "avatar";
  readonly model: string;
  readonly out: string;
  readonly recipe: ClipRecipe;
  readonly shapes: ClipShapes;
  readonly fingerprint: string;
}

/** Number of the file to make. */
export type AvatarJob = number;

export async function openAvatarWorker({ model, out, recipe, shapes, fingerprint }: AvatarSetup) {
  const encoders = await openEncoders(model);
  return async (shard: AvatarJob): Promise<void> => {
    const clips: StoredClip[] = [];
    for (let i = 0; i < CLIPS_PER_SHARD; i++) {
      clips.push(await makeTrainingClip(recipe, shard * CLIPS_PER_SHARD + i, encoders));
    }
    await writeClips(join(out, shardName(shard)), clips, shapes, fingerprint);
  };
}
