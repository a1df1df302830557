import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Graph, type Value, mean, mul, sub } from "../graph/index.ts";
import { sampleTensor } from "../graph/testing.ts";
import { LORA_TARGETS, addLora } from "../models/layers/lora.ts";
import { type WanDiTShape, declareInputs } from "../models/wan-dit/build.ts";
import { WAN_DIT_PRESETS, type WanDiTConfig } from "../models/wan-dit/config.ts";
import { wanDiT } from "../models/wan-dit/model.ts";
import { openSafetensors } from "../runtime/safetensors.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { float32ToBfloat16, float32ToFloat16, roundToBfloat16 } from "../tensor/float16.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { type BlockwiseModel, type BlockwiseSettings } from "./blockwise-graphs.ts";
import { compileBlockwiseStep } from "./blockwise-step.ts";
import { type FrozenWeights } from "./blockwise-weights.ts";
import { type Batch, type Params, type StepResult, type TrainStep, compileTrainStep } from "./train.ts";

const config: WanDiTConfig = { ...WAN_DIT_PRESETS.tiny, numLayers: 3 };
const shape: WanDiTShape = {
  batch: 2,
  latentFrames: 2,
  latentHeight: 4,
  latentWidth: 6,
  textTokens: 3,
  imageTokens: 5,
  timesteps: "per-frame",
};
const SCOPE = "dit";

const model: BlockwiseModel = {
  config,
  scope: SCOPE,
  inputs: (graph) => declareInputs(graph, config, shape),
  loss(velocity) {
    const { graph } = velocity;
    const error = sub(velocity, graph.input("target", velocity.shape));
    graph.output("error", mean(error));
    return mean(mul(mul(error, error), graph.input("weight", velocity.shape.with(1, 1))));
  },
};

const lora = { rank: 3, scale: 0.5, targets: LORA_TARGETS };
const finetuning = {
  lora,
  isTrainable: (key: string) => /lora_[AB]/.test(key) || /patch_embedding/.test(key),
};
const everything = { lora: null, isTrainable: () => true };

function wholeGraph(withLora: boolean): { graph: Graph; loss: Value } {
  const graph = new Graph();
  const { velocity } = wanDiT(graph.scope(SCOPE), config, model.inputs(graph));
  const loss = model.loss(velocity);
  graph.output("loss", loss);
  if (withLora) addLora(graph, lora);
  return { graph, loss };
}

/** Random values for all parameters and inputs. */
function sample(withLora: boolean): { params: Params; batch: Batch } {
  const { graph } = wholeGraph(withLora);
  const draw = (values: Iterable<Value>, limits: { low: number; high: number }) =>
    Object.fromEntries(
      [...values].map(({ name, shape: size }, i) => [
        name,
        sampleTensor(size, i, { dtype: "float32", ...limits }) as Tensor<"float32">,
      ]),
    );
  return {
    params: draw(graph.params.values(), { low: -0.4, high: 0.4 }),
    batch: { ...draw(graph.inputs.values(), { low: -1, high: 1 }), timestep: timesteps() },
  };
}

function timesteps(): Tensor {
  return sampleTensor([2, 2], 1, { low: 0, high: 1000, dtype: "float32" }) as Tensor;
}

async function runOnce(step: TrainStep, params: Params, batch: Batch): Promise<StepResult> {
  try {
    return await step.run(params, batch);
  } finally {
    await step.release();
  }
}

function blockwise(settings: BlockwiseSettings, frozen: FrozenWeights | null = null): Promise<TrainStep> {
  return compileBlockwiseStep(model, { ...settings, frozen, threads: 1 });
}

async function inMemory({ isTrainable, ...settings }: Omit<BlockwiseSettings, "blocksPerRange">) {
  const { graph, loss } = wholeGraph(settings.lora !== null);
  return compileTrainStep(graph, loss, isTrainable, 1);
}

/** The same gradients but for rounding: to 1e-6 of the largest element of each. */
function expectSame(actual: StepResult, expected: StepResult): void {
  expect(Object.keys(actual.gradients).sort()).toEqual(Object.keys(expected.gradients).sort());
  for (const [name, value] of Object.entries(expected.metrics)) {
    expect(Math.abs(actual.metrics[name]! - value), name).toBeLessThan(1e-6 * Math.max(1, Math.abs(value)));
  }
  for (const [key, gradient] of Object.entries(expected.gradients)) {
    const largest = gradient.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    expect(largest, key).toBeGreaterThan(0);
    const found = actual.gradients[key]!;
    const worst = gradient.reduce((most, x, i) => Math.max(most, Math.abs(x - found[i]!)), 0);
    expect(worst / largest, key).toBeLessThan(1e-6);
  }
}

describe("a step block by block equals a step of the whole graph", () => {
  test.each([1, 2, 3])("LoRA, ranges of %i blocks", async (blocksPerRange) => {
    const { params, batch } = sample(true);
    const expected = await runOnce(await inMemory(finetuning), params, batch);
    const step = await blockwise({ ...finetuning, blocksPerRange });
    expect(step.trainable).toEqual((await inMemory(finetuning)).trainable);
    expectSame(await runOnce(step, params, batch), expected);
  });

  test("training of all parameters", async () => {
    const { params, batch } = sample(false);
    const expected = await runOnce(await inMemory(everything), params, batch);
    const step = await blockwise({ ...everything, blocksPerRange: 2 });
    expect([...step.trainable].sort()).toEqual(Object.keys(params).sort());
    expectSame(await runOnce(step, params, batch), expected);
  });
});

describe("frozen weights in a file", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "posegen-blockwise-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** Writes all parameters that are not trained, without their scope. */
  async function write(params: Params, store: (x: Tensor<"float32">, key: string) => Tensor) {
    const path = join(folder, "base.safetensors");
    const frozen = Object.entries(params).filter(([key]) => !finetuning.isTrainable(key));
    const keyOf = (key: string) => key.slice(SCOPE.length + 1);
    await writeSafetensors(path, new Map(frozen.map(([key, x]) => [keyOf(key), store(x, key)])));
    return { checkpoint: await openSafetensors(path), keyOf };
  }

  const trainedOf = (params: Params): Params =>
    Object.fromEntries(Object.entries(params).filter(([key]) => finetuning.isTrainable(key)));

  test.each(["float32", "bfloat16"] as const)("%s", async (dtype) => {
    const { params: drawn, batch } = sample(true);
    const params = Object.fromEntries(
      Object.entries(drawn).map(([key, x]) => [
        key,
        dtype === "float32" || finetuning.isTrainable(key) ? x : { ...x, data: roundToBfloat16(x.data) },
      ]),
    );
    const narrow = ({ shape: size, data }: Tensor<"float32">) =>
      tensor("bfloat16", size, float32ToBfloat16(data));
    const frozen = await write(params, (x) => (dtype === "float32" ? x : narrow(x)));
    const expected = await runOnce(await inMemory(finetuning), params, batch);
    const step = await blockwise({ ...finetuning, blocksPerRange: 1 }, frozen);
    // Twice: the second step finds the first one's last weights in memory.
    expectSame(await step.run(trainedOf(params), batch), expected);
    expectSame(await runOnce(step, trainedOf(params), batch), expected);
  });

  test("is refused where blocks are stored in different types", async () => {
    const { params } = sample(true);
    const frozen = await write(params, (x, key) =>
      key.includes("blocks.1.ffn.0.w") ? tensor("float16", x.shape, float32ToFloat16(x.data)) : x,
    );
    await expect(blockwise({ ...finetuning, blocksPerRange: 1 }, frozen)).rejects.toThrow(
      /blocks\.0\.ffn\.0\.weight as float32 .* as float16/,
    );
  });
});

test("blocks that are not trained alike are refused", async () => {
  const isTrainable = (key: string) => key.startsWith("dit.blocks.1.");
  await expect(blockwise({ lora: null, isTrainable, blocksPerRange: 1 })).rejects.toThrow(
    /blocks\.0\..* and .*blocks\.1\..* are not both trained/,
  );
  await expect(blockwise({ ...everything, blocksPerRange: 0 })).rejects.toThrow("ranges of 0 blocks");
});
