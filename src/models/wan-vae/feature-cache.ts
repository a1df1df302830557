import { invariant } from "../../tensor/errors.ts";
import { type Graph, type Value, concat, expand, pad, slice } from "../../graph/index.ts";

/** Where a chunk lies in its video: the start has no past, any other continues the chunk before it. */
export type ChunkPosition = "start" | "next";

/** Features preceded by the frames before them, as far as they exist. */
export interface Extended {
  /** [B, C, past + T, H, W] */
  readonly x: Value;
  /** Frames that are missing because the video starts here; the layer sees zeros in their place. */
  readonly numMissing: number;
}

/**
 * The memory of causal layers. Each layer asks for the last few frames of its input before this chunk and leaves the
 * last few of this one for the next: graph inputs `cache:<layer>` and outputs `newCache:<layer>`.
 * A whole clip is a single start chunk whose cache nobody reads.
 */
export class FeatureCache {
  private readonly kept: { readonly layer: string; readonly frames: () => Value }[] = [];

  constructor(
    readonly graph: Graph,
    readonly position: ChunkPosition,
  ) {}

  /** Puts the `count` frames before `x` [B, C, T, H, W] in front of it. */
  extend(layer: string, x: Value, count: number): Extended {
    const atStart = this.position === "start";
    const extended = atStart ? x : concat([this.past(layer, x, count), x], 2);
    this.kept.push({ layer, frames: () => lastFrames(extended, count) });
    return { x: extended, numMissing: atStart ? count : 0 };
  }

  /** Leaves zeros for the next chunk: a layer that did not run on the first frame. `x` gives the shape. */
  extendByZeros(layer: string, x: Value, count: number): void {
    invariant(this.position === "start", `${layer} has a past but leaves zeros`);
    const shape = x.shape.with(2, count);
    this.kept.push({ layer, frames: () => expand(this.graph.scalar(0), shape) });
  }

  /** Declares what the next chunk reads as outputs of the graph. */
  emit(): void {
    for (const { layer, frames } of this.kept) this.graph.output(`newCache:${layer}`, frames());
  }

  private past(layer: string, x: Value, count: number): Value {
    return this.graph.input(`cache:${layer}`, x.shape.with(2, count));
  }
}

/** The last `count` frames, with zeros in front when there are fewer. */
function lastFrames(x: Value, count: number): Value {
  const missing = count - x.dim(2);
  if (missing <= 0) return slice(x, 2, -missing);
  return pad(x, [0, 0, missing, 0, 0], [0, 0, 0, 0, 0]);
}
