import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildWanDiT } from "../models/wan-dit/build.ts";
import { Lane } from "../runtime/lane.ts";
import { type Checkpoint, openSafetensors } from "../runtime/safetensors.ts";
import { type Tensor, zeros } from "../tensor/tensor.ts";
import { Random } from "../tensor/random.ts";
import { chooseInt8, searchInt8 } from "./calibrate-int8.ts";
import { heldNetwork } from "./calibration-network.ts";
import { Denoiser, type SegmentInputs } from "./denoiser.ts";
import { FinetunedWeights, type PhaseLoras, type PhaseName } from "./finetuned-weights.ts";
import { type Int8Layers, readInt8Calibration, writeInt8Calibration } from "./int8-calibration.ts";
import { type Int8Group, int8Path, weightsFingerprint } from "./int8-file.ts";
import { findInt8Weights, int8WeightsPath, writeInt8Weights } from "./int8-weights.ts";
import { openLora } from "./lora-file.ts";
import { MODEL_FILES, type ModelFolder, openModelFolder } from "./model-folder.ts";
import { flowMatchSchedule } from "./schedule.ts";
import { stagedNetwork } from "./staged-calibration.ts";
import { TINY_MODEL, writeTinyModel } from "./testing.ts";

const { dit: config, maxMapBlock } = TINY_MODEL;
const shape = { latentFrames: 2, latentHeight: 4, latentWidth: 4, textTokens: 4, imageTokens: 5 };
const specs = [...buildWanDiT(config, shape).params.values()];
const SETTINGS = { steps: 2 };
const NO_LORAS: PhaseLoras = { phase1: [], phase2: [] };

let folder: string;
let lane: Lane;
let model: ModelFolder;
let base: Checkpoint;
let phases: PhaseLoras;
let groups: readonly Int8Group[];

const inputs = Object.fromEntries(
  [...buildWanDiT(config, shape).inputs].map(([name, value]) => {
    const values = zeros(value.shape);
    values.data.set(new Random(name).normals(values.data.length));
    return [name, values];
  }),
) as Record<string, Tensor<"float32">>;
const segment: SegmentInputs = {
  cond: inputs["cond"]!,
  hand: inputs["hand"]!,
  ref: inputs["ref"]!,
  clipFeature: inputs["clipFeature"]!,
  contexts: { positive: inputs["context"]!, negative: inputs["context"]! },
  subjectTokens: null,
};
const segments = [
  { phase: "phase1", inputs: segment },
  { phase: "phase2", inputs: segment },
] as const;
const sampling = { segments, schedule: flowMatchSchedule(2), guidanceScale: 1, seed: 0 };

const staged = (loras: PhaseLoras, int8Weights: Checkpoint | null = null) =>
  stagedNetwork({
    config,
    shape,
    base,
    loras,
    specs,
    lane,
    threads: 1,
    blocksPerStage: 1,
    int8Weights,
    mapBeyondBytes: 0,
  });

async function write(): Promise<string> {
  const path = await int8WeightsPath(folder);
  await writeInt8Weights(path, base, groups, {
    fingerprint: await weightsFingerprint(model),
    settings: SETTINGS,
  });
  return path;
}

beforeAll(async () => {
  lane = new Lane();
  folder = await mkdtemp(join(tmpdir(), "posegen-int8-"));
  model = await openModelFolder(await writeTinyModel(folder));
  base = await openSafetensors(join(folder, MODEL_FILES.dit));
  const lora = async (phase: PhaseName) => [
    { file: await openLora(join(folder, MODEL_FILES[phase])), weight: 1 },
  ];
  phases = { phase1: await lora("phase1"), phase2: await lora("phase2") };
  groups = await searchInt8({ ...sampling, network: staged(phases) }, join(folder, "rows"));
});
afterAll(async () => {
  await lane.close();
  await rm(folder, { recursive: true, force: true });
});

async function velocities(
  loras: PhaseLoras,
  int8: Int8Layers | null,
  mapBeyondBytes: number,
  blocksPerStage: number | null,
): Promise<Float32Array[]> {
  const weights = await FinetunedWeights.open(base, loras, specs, { lane, int8, mapBeyondBytes });
  const placement = { device: "cpu", threads: 1, blocksPerStage } as const;
  const denoiser = new Denoiser({ config, shape, maxMapBlock, lane, weights, placement });
  const results: Float32Array[] = [];
  for (const phase of ["phase1", "phase2", "phase1"] as const) {
    await denoiser.use(phase);
    const call = { branch: "positive", latents: inputs["latents"]!.data, timestep: 500 } as const;
    results.push(await denoiser.predict(segment, call));
  }
  await denoiser.close();
  await weights.release();
  return results;
}

function errorOf(result: Float32Array, expected: Float32Array): number {
  return Math.hypot(...result.map((x, i) => x - expected[i]!)) / Math.hypot(...expected);
}

test("weights are mapped from a file that was written one by one, in one session or in stages, in both phases", async () => {
  await write();
  const { checkpoint: weights } = (await findInt8Weights(model, SETTINGS))!;
  const int8 = { groups, weights };
  const exact = await velocities(phases, null, 0, null);
  const whole = await velocities(phases, int8, 0, null);
  expect(await velocities(phases, int8, 0, 1)).toEqual(whole);
  expect(whole[2]).toEqual(whole[0]);
  whole.forEach((velocity, i) => {
    expect(errorOf(velocity, exact[i]!)).toBeLessThan(0.04);
    expect(errorOf(velocity, exact[i]!)).toBeGreaterThan(1e-5);
  });
  const some = { groups: groups.filter((_, i) => i % 2 === 0), weights };
  const half = await velocities(phases, some, 0, 1);
  expect(errorOf(half[0]!, exact[0]!)).toBeLessThan(errorOf(whole[0]!, exact[0]!));
});

test("weights from the file compute what weights rounded in memory do", async () => {
  await write();
  const { checkpoint: weights } = (await findInt8Weights(model, SETTINGS))!;
  const held = await velocities(NO_LORAS, { groups, weights: null }, Infinity, null);
  const mapped = await velocities(NO_LORAS, { groups, weights }, 0, 1);
  mapped.forEach((velocity, i) => expect(errorOf(velocity, held[i]!)).toBeLessThan(1e-6));
});

test("stages find the smoothing and the error that a model in memory does", async () => {
  const weights = await FinetunedWeights.open(base, NO_LORAS, specs, { lane });
  const read = { phase1: await weights.read("phase1"), phase2: await weights.read("phase2") };
  const network = heldNetwork({ config, shape, weights: read, threads: 1 });
  const expected = await searchInt8({ ...sampling, network }, join(folder, "rows"));
  const found = await searchInt8({ ...sampling, network: staged(NO_LORAS) }, join(folder, "rows"));
  expect(found.map(({ name, zeroPoint }) => [name, zeroPoint])).toEqual(
    expected.map(({ name, zeroPoint }) => [name, zeroPoint]),
  );
  for (const [i, { mean, factors }] of found.entries()) {
    mean.forEach((x, j) => expect(x).toBeCloseTo(expected[i]!.mean[j]!, 4));
    factors.forEach((x, j) => expect(x / expected[i]!.factors[j]!).toBeCloseTo(1, 3));
  }
  const path = await int8WeightsPath(folder);
  await writeInt8Weights(path, base, found, {
    fingerprint: await weightsFingerprint(model),
    settings: SETTINGS,
  });
  const file = (await findInt8Weights(model, SETTINGS))!;
  const inStages = staged(NO_LORAS, file.checkpoint);
  const error = 0.01;
  const chosen = await chooseInt8({ ...sampling, network: inStages }, file.groups, error);
  const held = await chooseInt8({ ...sampling, network }, expected, error);
  expect(chosen.errorOfAll).toBeCloseTo(held.errorOfAll, 4);
  expect(chosen.velocityError).toBeLessThanOrEqual(error);
  expect(chosen.groups.filter(({ isQuantized }) => isQuantized).map(({ name }) => name)).toEqual(
    held.groups.filter(({ isQuantized }) => isQuantized).map(({ name }) => name),
  );
  expect(await readdir(folder)).not.toContain("rows");
});

test("the file is found for its own weights and settings, and belongs to the calibration beside it", async () => {
  const path = await write();
  expect((await findInt8Weights(model, SETTINGS))?.groups).toEqual(groups);
  expect(await findInt8Weights(model, { steps: 3 })).toBeNull();
  const fingerprint = await weightsFingerprint(model);
  const calibration = { groups, velocityError: 0.01, fingerprint };
  await writeInt8Calibration(await int8Path(folder), calibration);
  expect((await readInt8Calibration(model, 0)).weights?.path).toBe(path);
  expect((await readInt8Calibration(model)).weights).toBeNull();
  const other = groups.map((group) => ({ ...group, zeroPoint: group.zeroPoint ^ 1 }));
  await writeInt8Calibration(await int8Path(folder), { ...calibration, groups: other });
  await expect(readInt8Calibration(model, 0)).rejects.toThrow(
    /does not belong to the calibration beside it; run/,
  );
  await rm(path);
  await expect(readInt8Calibration(model, 0)).rejects.toThrow(
    /int8-weights\.safetensors is missing; run `posegen models calibrate .*` again/,
  );
});

test("the same groups give the same bytes; what is interrupted or damaged leaves nothing to go on from", async () => {
  const path = await write();
  const bytes = await readFile(path);
  await write();
  expect((await readFile(path)).equals(bytes)).toBe(true);
  await rm(path);
  const controller = new AbortController();
  const done: number[] = [];
  const writing = writeInt8Weights(path, base, groups, {
    fingerprint: "",
    settings: SETTINGS,
    signal: controller.signal,
    onProgress: ({ doneBytes, totalBytes }) => {
      done.push(doneBytes / totalBytes);
      if (doneBytes > totalBytes / 2) controller.abort(new Error("enough"));
    },
  });
  await expect(writing).rejects.toThrow("enough");
  expect(done.at(-1)).toBeLessThan(1);
  expect((await readdir(folder)).filter((name) => /int8-weights/.test(name))).toEqual([]);
  await writeFile(path, bytes.subarray(0, bytes.length - 1));
  expect(await findInt8Weights(model, SETTINGS)).toBeNull();
  await rm(path);
});
