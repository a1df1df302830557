/** Datasets of rendered people: all of their index is known before a clip is rendered. */
import { describeClip } from "../../avatar/caption.ts";
import { type ClipShapes, shardName } from "../../training/dataset.ts";
import type { DatasetIndex } from "../../training/dataset-index.ts";
import { type ClipRecipe, seriesClipRequest } from "../../training/render-training-clip.ts";

/** Clips of one file: finished work is kept file by file. */
export const CLIPS_PER_SHARD = 16;

/** Frame rate of rendered clips. */
const FPS = 16;

/** The index of the first `numClips` clips of a series; files hold `CLIPS_PER_SHARD` each. */
export function avatarIndex(
  recipe: ClipRecipe,
  numClips: number,
  shapes: ClipShapes,
  fingerprint: string,
): Omit<DatasetIndex, "format"> {
  const { series, world, width, height, numFrames, headFrames, tailFrames } = recipe;
  return {
    kind: "avatar",
    fingerprint,
    width,
    height,
    fps: FPS,
    numFrames,
    headFrames,
    tailFrames,
    shapes,
    settings: { series, world },
    clips: Array.from({ length: numClips }, (_, index) => {
      const { identity, scene } = seriesClipRequest(recipe, index).clip;
      return {
        file: shardName(Math.floor(index / CLIPS_PER_SHARD)),
        at: index % CLIPS_PER_SHARD,
        caption: describeClip(identity, scene),
        source: { index },
      };
    }),
    rejected: [],
  };
}
