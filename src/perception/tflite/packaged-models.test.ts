import { describe, expect, it } from "vitest";
import { convertTflite } from "./convert.ts";
import { type ModelName, PACKAGED_MODELS, readPackagedModel } from "./packaged-models.ts";

/** Output shapes, and how often each operator occurs (fused activations are operators of their own). */
const EXPECTED: Record<ModelName, { outputs: Record<string, number[]>; ops: Record<string, number> }> = {
  "pose-detector": {
    outputs: { boxes: [1, 2254, 12], scores: [1, 2254, 1] },
    ops: { Conv: 73, DepthToSpace: 3, Resize: 2, Transpose: 6 },
  },
  "pose-lite": { outputs: poseOutputs(), ops: { Conv: 66, Resize: 0, Transpose: 0 } },
  "pose-full": { outputs: poseOutputs(), ops: { Conv: 74, Resize: 0, Transpose: 0 } },
  "pose-heavy": { outputs: poseOutputs(), ops: { Conv: 184, Resize: 3, Transpose: 0 } },
  "pose-lite-mask": { outputs: maskedOutputs(), ops: { Conv: 87, Resize: 5, Transpose: 0 } },
  "pose-full-mask": { outputs: maskedOutputs(), ops: { Conv: 95, Resize: 5, Transpose: 0 } },
  "pose-heavy-mask": { outputs: maskedOutputs(), ops: { Conv: 197, Resize: 5, Transpose: 0 } },
  hand: {
    outputs: { landmarks: [1, 63], score: [1, 1], rightness: [1, 1], world: [1, 63] },
    ops: { Conv: 47, Gemm: 4, Sigmoid: 2, Transpose: 0 },
  },
  "palm-detector": {
    outputs: { boxes: [1, 2016, 18], scores: [1, 2016, 1] },
    ops: { Conv: 63, PRelu: 31, Resize: 2, Transpose: 4 },
  },
};

function poseOutputs() {
  return { landmarks: [1, 195], score: [1, 1], world: [1, 117] };
}

function maskedOutputs() {
  return { ...poseOutputs(), mask: [1, 1, 256, 256] };
}

describe("packaged models", () => {
  it.each(Object.keys(PACKAGED_MODELS) as ModelName[])(
    "%s converts to a channels-first graph",
    async (name) => {
      const { outputs } = PACKAGED_MODELS[name];
      const graph = convertTflite(await readPackagedModel(name), { name, outputs });
      const shapes = Object.fromEntries([...graph.outputs].map(([key, value]) => [key, value.shape]));
      const ops = Object.fromEntries(
        Object.keys(EXPECTED[name].ops).map((op) => [
          op,
          graph.nodes.filter((node) => node.op === op).length,
        ]),
      );
      expect({ outputs: shapes, ops }).toEqual(EXPECTED[name]);
      expect(graph.inputs.get("image")!.shape.slice(0, 2)).toEqual([1, 3]);
    },
  );
});
