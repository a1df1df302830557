// The published block shape: width 1536, 12 heads, 960 video + 192 reference tokens, text 512, image 257.
import { type WanDiTShape } from "../src/models/wan-dit/build.ts";
import { WAN_DIT_PRESETS, type WanDiTConfig } from "../src/models/wan-dit/config.ts";
import { type Graph } from "../src/graph/graph.ts";
import { Random } from "../src/tensor/random.ts";
import { type Tensor, float32, sizeOf, zeros } from "../src/tensor/tensor.ts";

export const BLOCK_MODEL: WanDiTConfig = {
  ...WAN_DIT_PRESETS.wan14b,
  dim: 1536,
  numHeads: 12,
  ffnDim: 8960,
  numLayers: 2,
};

/** 5 x 24 x 32 latents: 5 · 12 · 16 = 960 video tokens and 192 of the reference. */
export const BLOCK_SHAPE: WanDiTShape = { latentFrames: 5, latentHeight: 24, latentWidth: 32 };

/** Random values for all inputs and parameters of a graph, small enough that activations stay of order 1. */
export function randomFeeds(graph: Graph): Record<string, Tensor> {
  const random = new Random("bench");
  const values = [...graph.inputs.values(), ...graph.params.values()];
  return Object.fromEntries(
    values.map(({ name, shape, dtype }) => {
      if (dtype !== "float32") return [name, zeros(shape, dtype)];
      const scale = shape.length > 1 ? 1 / Math.sqrt(sizeOf(shape.slice(1))) : 1;
      // A short cycle of normals: drawing hundreds of millions of them would take longer than the benchmark.
      const cycle = random.normals(65_537);
      return [
        name,
        float32(
          Float32Array.from({ length: sizeOf(shape) }, (_, i) => scale * cycle[i % 65_537]!),
          shape,
        ),
      ];
    }),
  );
}
