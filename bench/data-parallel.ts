/**
 * What training in several processes costs: the time of a step of the mini denoiser in one process and in two, which
 * share out its clips, and what the gradients of the published size take on a network. Usage:
 *
 *     npx tsx bench/data-parallel.ts [--frames 3] [--steps 5]
 *
 * Needs OpenMPI; without it only the published size is computed.
 */
import { spawnSync } from "node:child_process";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { MODEL_PRESETS } from "../src/app/train/model-source.ts";
import { inGroup } from "../src/app/train/in-group.ts";
import { addLora, LORA_TARGETS } from "../src/models/layers/lora.ts";
import { type Tensor, sizeOf } from "../src/tensor/tensor.ts";
import {
  buildDenoiserLoss,
  denoiserInTraining,
  givenEncodings,
  learningEncoders,
} from "../src/training/denoiser-loss.ts";
import { denoiserParams, trainableOf } from "../src/training/denoiser-run.ts";
import { type TrainingGroup, meanOver } from "../src/training/group.ts";
import { type Params, compileTrainStep } from "../src/training/train.ts";
import { randomFeeds } from "./published-block.ts";

const { values } = parseArgs({
  options: {
    frames: { type: "string", default: "3" },
    steps: { type: "string", default: "5" },
    learns: { type: "string" },
  },
});
const numSteps = Number(values.steps);
const NUM_CLIPS = 2;
const KINDS = ["LoRA of rank 16", "all weights"] as const;
const lora = { rank: 16, alpha: 16, targets: LORA_TARGETS };

/** Times a step of the mini denoiser at 128x192 in one of the processes, and prints it in the first. */
async function timeSteps(group: TrainingGroup, learns: (typeof KINDS)[number]): Promise<void> {
  const isLora = learns === KINDS[0];
  const { textTokens, ...models } = MODEL_PRESETS.mini;
  const shape = { latentFrames: Number(values.frames), latentHeight: 24, latentWidth: 16, textTokens };
  const conditions = isLora ? givenEncodings : learningEncoders;
  const batch = NUM_CLIPS / group.size;
  const { graph, loss } = buildDenoiserLoss(denoiserInTraining(models, { ...shape, batch }, conditions));
  if (isLora) addLora(graph, { ...lora, scale: 1 });
  const feeds = randomFeeds(graph);
  const own = (names: Iterable<string>): Record<string, Tensor> =>
    Object.fromEntries([...names].map((name) => [name, feeds[name]!]));
  const params = own(graph.params.keys()) as Params;
  const inputs = own(graph.inputs.keys());
  const step = await compileTrainStep(graph, loss, trainableOf({ lora: isLora ? lora : null }), 1);
  const numBytes = step.trainable.reduce((sum, key) => sum + 4 * sizeOf(params[key]!.shape), 0);
  await meanOver(group, await step.run(params, inputs));
  group.takeTimes();
  const times: { stepMs: number; waitMs: number; exchangeMs: number }[] = [];
  for (let i = 0; i < numSteps; i++) {
    const begin = performance.now();
    await meanOver(group, await step.run(params, inputs));
    times.push({ stepMs: performance.now() - begin, ...group.takeTimes() });
  }
  await step.release();
  if (group.rank > 0) return;
  // Other work on the machine only lengthens: of each the shortest.
  const shortest = (name: keyof (typeof times)[number]): number =>
    Math.min(...times.map((time) => time[name]));
  const [stepMs, exchangeMs] = [shortest("stepMs"), shortest("exchangeMs")];
  console.log(
    `${learns}, ${group.size} process${group.size > 1 ? "es" : ""}: ${(stepMs / 1000).toFixed(2)} s a step, ` +
      `${(numBytes / 1e6).toFixed(1)} MB of gradients; exchange ${exchangeMs.toFixed(1)} ms, ` +
      `${((100 * exchangeMs) / stepMs).toFixed(2)} % (shortest wait ${shortest("waitMs").toFixed(1)} ms)`,
  );
}

/** Bytes of the gradients of the published size. */
function publishedBytes(rank: number): number {
  const { textTokens, ...models } = MODEL_PRESETS.published;
  const size = { channels: 16, height: 2, width: 2, imageSize: 224 };
  const network = { models, size, textTokens, lora: { ...lora, rank }, recompute: "none" } as const;
  const params = denoiserParams({ ...network, stages: [{ untilStep: 1, latentFrames: 1, batch: 1 }] });
  const isTrainable = trainableOf(network);
  return [...params].reduce((sum, [key, shape]) => sum + (isTrainable(key) ? 4 * sizeOf(shape) : 0), 0);
}

/** Seconds that each host's link is busy when N hosts pass sums around a ring: 2 (N - 1) / N times the bytes. */
function ringSeconds(bytes: number, numHosts: number, gigabits: number): number {
  return (2 * (numHosts - 1) * bytes * 8) / numHosts / (gigabits * 1e9);
}

function reportPublished(): void {
  for (const rank of [16, 64]) {
    const bytes = publishedBytes(rank);
    const times = [2, 8].flatMap((hosts) =>
      [10, 100].map(
        (gigabits) =>
          `${hosts} hosts at ${gigabits} Gbit/s ${ringSeconds(bytes, hosts, gigabits).toFixed(3)} s`,
      ),
    );
    console.log(
      `14B, LoRA of rank ${rank}: ${(bytes / 1e6).toFixed(1)} MB of gradients; ${times.join(", ")}`,
    );
  }
}

if (values.learns !== undefined) {
  const learns = KINDS[Number(values.learns)]!;
  await inGroup((group) => timeSteps(group, learns));
} else {
  console.log(`${cpus()[0]?.model ?? "unknown processor"}, one thread a process, float32`);
  const self = [
    process.execPath,
    "--import",
    "tsx",
    fileURLToPath(import.meta.url),
    ...process.argv.slice(2),
  ];
  const asRoot = process.getuid?.() === 0 ? ["--allow-run-as-root"] : [];
  for (const [i] of KINDS.entries()) {
    const child = [...self, "--learns", `${i}`];
    for (const starter of [[], ["mpirun", "--oversubscribe", ...asRoot, "-n", "2"]]) {
      const [program, ...args] = [...starter, ...child];
      const { error } = spawnSync(program!, args, { stdio: "inherit" });
      if (error) console.log(`${program} cannot be started: ${error.message}`);
    }
  }
  reportPublished();
}
