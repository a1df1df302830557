import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Graph, linear, mean, mul, sub } from "../graph/index.ts";
import { Random } from "../tensor/random.ts";
import { float32 } from "../tensor/tensor.ts";
import { loadAverages } from "./checkpoint.ts";
import { adamW } from "./optimizer.ts";
import {
  compileTrainStep,
  train,
  type Batch,
  type Params,
  type StepResult,
  type TrainOptions,
  type TrainStep,
} from "./train.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-train-"));
});
afterEach(() => rm(folder, { recursive: true }));

const TARGET = [0.5, -1, 2];

/** Least squares with a frozen bias of 0.25. */
async function regression(): Promise<TrainStep> {
  const graph = new Graph();
  const x = graph.input("x", [8, 3]);
  const error = sub(
    linear(x, graph.param("weight", [1, 3]), graph.param("bias", [1])),
    graph.input("y", [8, 1]),
  );
  const loss = mean(mul(error, error));
  graph.output("loss", loss);
  return compileTrainStep(graph, loss, (key) => key === "weight", 1);
}

async function passesFor(step: number): Promise<Batch[]> {
  const random = new Random("regression").fork(step);
  const x = Float32Array.from({ length: 24 }, () => random.normal());
  const y = Float32Array.from({ length: 8 }, (_, i) =>
    TARGET.reduce((total, slope, j) => total + slope * x[3 * i + j]!, 0.25),
  );
  return [{ x: float32(x, [8, 3]), y: float32(y, [8, 1]) }];
}

const initial: Params = { weight: float32([0, 0, 0], [1, 3]), bias: float32([0.25]) };

function options(overrides: Partial<TrainOptions> = {}): TrainOptions {
  return {
    folder,
    fingerprint: "a",
    learningRate: { peak: 0.1, numSteps: 120, warmup: 0.1, floor: 0.01 },
    optimizer: adamW(),
    maxGradientNorm: 10,
    emaDecay: 0.9,
    checkpointEverySteps: 30,
    ...overrides,
  };
}

test("finds the slopes and leaves frozen parameters alone", async () => {
  const step = await regression();
  const state = await train(async () => step, initial, passesFor, options());
  expect([...state.params["weight"]!.data]).toEqual(TARGET.map((slope) => expect.closeTo(slope, 1)));
  expect(Object.keys(state.params)).toEqual(["weight"]);
  expect([...initial["weight"]!.data]).toEqual([0, 0, 0]);
  const files = (await readdir(folder)).sort();
  expect(files).toEqual(["log.jsonl", "step-00000090.safetensors", "step-00000120.safetensors"]);
});

test("a resumed run equals an uninterrupted one bit for bit", async () => {
  const step = await regression();
  const whole = await train(async () => step, initial, passesFor, options());
  await rm(folder, { recursive: true });
  const stop = new AbortController();
  const stopAt37 = options({
    signal: stop.signal,
    onStep: ({ step: done }) => void (done === 37 && stop.abort()),
  });
  expect((await train(async () => step, initial, passesFor, stopAt37)).step).toBe(37);
  const resumed = await train(async () => step, initial, passesFor, options());
  expect(resumed).toEqual(whole);
});

test("a run that is stopped before its first step keeps what it starts from", async () => {
  const step = await regression();
  await train(async () => step, initial, passesFor, options({ signal: AbortSignal.abort() }));
  expect(await readdir(folder)).toEqual(["step-00000000.safetensors"]);
  expect([...(await loadAverages(folder))["weight"]!.data]).toEqual([0, 0, 0]);
  const whole = await train(async () => step, initial, passesFor, options());
  expect(whole.step).toBe(120);
});

test.each<[string, Partial<StepResult>]>([
  ["loss", { metrics: { loss: NaN } }],
  ["gradient", { gradients: { weight: Float32Array.of(0, Infinity, 0) } }],
])("a step without a finite %s ends the run and leaves its newest checkpoint", async (_, broken) => {
  const step = await regression();
  let numRuns = 0;
  const diverging: TrainStep = {
    trainable: step.trainable,
    run: async (...feeds) => ({ ...(await step.run(...feeds)), ...(++numRuns > 32 && broken) }),
    release: () => step.release(),
  };
  await expect(train(async () => diverging, initial, passesFor, options())).rejects.toThrow(
    /training has diverged: step 33 .* lower learningRate\.peak/,
  );
  expect((await loadAverages(folder))["weight"]!.data.every(Number.isFinite)).toBe(true);
  expect((await readdir(folder)).sort()).toEqual(["log.jsonl", "step-00000030.safetensors"]);
});

test("a folder of another run is refused", async () => {
  const step = await regression();
  await train(
    async () => step,
    initial,
    passesFor,
    options({ learningRate: { peak: 0.1, numSteps: 2, warmup: 0, floor: 0 } }),
  );
  await expect(train(async () => step, initial, passesFor, options({ fingerprint: "b" }))).rejects.toThrow(
    "belongs to a run with other settings",
  );
});
