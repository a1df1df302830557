import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Graph, linear, mean, mul, sub } from "../graph/index.ts";
import { Random } from "../tensor/random.ts";
import { float32 } from "../tensor/tensor.ts";
import { splitBatch } from "./accumulate.ts";
import { type TrainingGroup, checkAgreement, meanOver, sharePasses } from "./group.ts";
import { adamW } from "./optimizer.ts";
import { readStepLog } from "./step-log.ts";
import { groupHere } from "./testing.ts";
import { type Params, type TrainOptions, type TrainStep, compileTrainStep, train } from "./train.ts";

/** Does the same in all members of a group at the same time. */
function inAll<T>(size: number, work: (group: TrainingGroup) => Promise<T>): Promise<T[]> {
  return Promise.all(groupHere(size).map(work));
}

describe("shares of a step", () => {
  test.each([
    // batch, accumulate, processes -> batch, passes
    [4, 1, 1, 4, 1],
    [2, 3, 1, 2, 3],
    [4, 1, 2, 2, 2],
    [4, 2, 2, 4, 2],
    [2, 3, 2, 1, 6],
    [4, 3, 2, 3, 4],
    [1, 8, 4, 1, 8],
  ])("%i clips %i times in %i processes", (batch, accumulate, size, ownBatch, count) => {
    expect(sharePasses({ batch, accumulate }, size)).toEqual({ batch: ownBatch, count });
  });

  test("that are not even are refused", () => {
    expect(() => sharePasses({ batch: 3, accumulate: 1 }, 2)).toThrow(
      "a step has 3 clips (batch 3, accumulate 1), which 2 processes cannot share out evenly",
    );
  });
});

test("means of arrays larger and smaller than one exchange", async () => {
  const lengths = { large: (1 << 22) + 5, small: 3, medium: 70_000 };
  const means = await inAll(3, (group) => {
    const gradients = Object.fromEntries(
      Object.entries(lengths).map(([key, length]) => [
        key,
        Float32Array.from({ length }, (_, i) => group.rank * 3 + (i % 7)),
      ]),
    );
    return meanOver(group, { metrics: { loss: group.rank, other: 2 }, gradients });
  });
  for (const { metrics, gradients } of means) {
    expect(metrics).toEqual({ loss: 1, other: 2 });
    for (const array of Object.values(gradients)) {
      expect(array.every((x, i) => x === 3 + (i % 7))).toBe(true);
    }
  }
});

test("a process with other settings is named", async () => {
  const outcomes = await Promise.allSettled(
    groupHere(3).map((group) => checkAgreement(group, { settings: group.rank === 2 ? "00ff" : "00fe" })),
  );
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
  const { reason } = outcomes[2] as PromiseRejectedResult;
  expect(String(reason)).toContain("process 2 has other settings than process 0");
});

describe("training", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "posegen-group-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const NUM_CLIPS = 8;

  /** Least squares over some clips. */
  function regression(batch: number): Promise<TrainStep> {
    const graph = new Graph();
    const predicted = linear(
      graph.input("x", [batch, 3]),
      graph.param("weight", [1, 3]),
      graph.param("bias", [1]),
    );
    const error = sub(predicted, graph.input("y", [batch, 1]));
    const loss = mean(mul(error, error));
    graph.output("loss", loss);
    return compileTrainStep(graph, loss, (key) => key === "weight", 1);
  }

  const initial = (value: number): Params => ({
    weight: float32([value, 0, 0], [1, 3]),
    bias: float32([0.25]),
  });

  async function run(
    group: TrainingGroup,
    changes: Partial<TrainOptions> = {},
    { weight = 0, seed = "clips" } = {},
  ) {
    const step = await regression(NUM_CLIPS / group.size);
    const passesFor = async (n: number) => {
      const random = new Random(seed).fork(n);
      const x = random.normals(3 * NUM_CLIPS);
      const y = Float32Array.from({ length: NUM_CLIPS }, (_, i) => x[3 * i]! - 2 * x[3 * i + 1]!);
      return splitBatch({ x: float32(x, [NUM_CLIPS, 3]), y: float32(y, [NUM_CLIPS, 1]) }, group.size);
    };
    try {
      return await train(async () => step, initial(weight), passesFor, {
        // Only process 0 has a folder that is there.
        folder: join(folder, `${group.rank}`),
        fingerprint: "a",
        learningRate: { peak: 0.1, numSteps: 20, warmup: 0.1, floor: 0 },
        optimizer: adamW(),
        maxGradientNorm: 10,
        emaDecay: 0.9,
        checkpointEverySteps: 10,
        group,
        ...changes,
      });
    } finally {
      await step.release();
    }
  }

  const lossesOf = async (name: string): Promise<number[]> =>
    (await readStepLog(join(folder, name))).map(({ metrics }) => metrics["loss"]!);

  test("several processes make the steps of one, and the first alone writes", async () => {
    const alone = (await inAll(1, (group) => run(group, { folder: join(folder, "alone") })))[0]!;
    const states = await inAll(4, (group) => run(group));
    for (const state of states) expect(state).toEqual(states[0]);
    const [losses, expected] = [await lossesOf("0"), await lossesOf("alone")];
    expect(losses).toHaveLength(20);
    losses.forEach((loss, i) => expect(Math.abs(loss - expected[i]!)).toBeLessThan(1e-5));
    states[0]!.params["weight"]!.data.forEach((x, i) => {
      expect(Math.abs(x - alone.params["weight"]!.data[i]!)).toBeLessThan(1e-4);
    });
    expect((await readdir(folder)).sort()).toEqual(["0", "alone"]);
    expect((await readStepLog(join(folder, "0")))[0]).toHaveProperty("exchangeMs");
  });

  test("all start from the weights and the step of process 0, and stop at the same step", async () => {
    const stop = new AbortController();
    const stopped = await inAll(2, (group) =>
      run(
        group,
        group.rank === 0
          ? { onStep: ({ step }) => void (step === 7 && stop.abort()), signal: stop.signal }
          : {},
        { weight: group.rank },
      ),
    );
    expect(stopped.map(({ step }) => step)).toEqual([7, 7]);
    const resumed = await inAll(2, (group) => run(group));
    await rm(join(folder, "0"), { recursive: true });
    expect(resumed).toEqual(await inAll(2, (group) => run(group)));
  });

  test("other clips in one process are an error", async () => {
    // Process 0 would wait for ever.
    const [, other] = groupHere(2).map((group) =>
      run(group, {}, { seed: group.rank === 0 ? "clips" : "others" }),
    );
    await expect(other).rejects.toThrow("process 1 has other clips in the first step than process 0");
  });
});
