import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildWanDiT } from "../models/wan-dit/build.ts";
import { Lane } from "../runtime/lane.ts";
import { type Checkpoint, openSafetensors } from "../runtime/safetensors.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { UserError } from "../tensor/errors.ts";
import { type Tensor, float32, sizeOf, zeros } from "../tensor/tensor.ts";
import { Random } from "../tensor/random.ts";
import { chooseInt8, searchInt8 } from "./calibrate-int8.ts";
import { heldNetwork } from "./calibration-network.ts";
import { Denoiser, type SegmentInputs } from "./denoiser.ts";
import { type AppliedLora, FinetunedWeights, type PhaseLoras, type PhaseName } from "./finetuned-weights.ts";
import { readInt8Calibration, writeInt8Calibration } from "./int8-calibration.ts";
import { int8Path, weightsFingerprint } from "./int8-file.ts";
import { openLora } from "./lora-file.ts";
import { MODEL_FILES, openModelFolder } from "./model-folder.ts";
import { flowMatchSchedule } from "./schedule.ts";
import { TINY_MODEL, writeTinyModel } from "./testing.ts";

const shape = { latentFrames: 2, latentHeight: 4, latentWidth: 4, textTokens: 4, imageTokens: 5 };
const graph = () => buildWanDiT(TINY_MODEL.dit, shape);

let folder: string;
let lane: Lane;
let base: Checkpoint;
let phases: PhaseLoras;

beforeAll(async () => {
  lane = new Lane();
  folder = await mkdtemp(join(tmpdir(), "posegen-finetuned-"));
  await writeTinyModel(folder);
  base = await openSafetensors(join(folder, MODEL_FILES.dit));
  phases = { phase1: [await applied("phase1")], phase2: [await applied("phase2")] };
});
afterAll(async () => {
  await lane.close();
  await rm(folder, { recursive: true, force: true });
});

async function applied(phase: PhaseName, weight = 1): Promise<AppliedLora> {
  return { file: await openLora(join(folder, MODEL_FILES[phase])), weight };
}

const inputs = Object.fromEntries(
  [...graph().inputs].map(([name, value]) => {
    const tensor = zeros(value.shape);
    tensor.data.set(new Random(name).normals(tensor.data.length));
    return [name, tensor];
  }),
);

/** The same values as a segment of the denoiser. */
const { cond, hand, ref, clipFeature, context } = inputs as Record<string, Tensor<"float32">>;
const segment: SegmentInputs = {
  cond: cond!,
  hand: hand!,
  ref: ref!,
  clipFeature: clipFeature!,
  contexts: { positive: context!, negative: context! },
  subjectTokens: null,
};
const latents = inputs["latents"]!.data as Float32Array;

async function velocities(weights: FinetunedWeights, order: readonly PhaseName[]): Promise<Float32Array[]> {
  await weights.use(order[0]!);
  const session = await weights.session(graph(), "denoiser", { device: "cpu", threads: 1 });
  const results: Float32Array[] = [];
  for (const phase of order) {
    await weights.use(phase);
    results.push((await session.run(inputs))["velocity"]!.data as Float32Array);
  }
  await session.release();
  await weights.release();
  return results;
}

const difference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((max, x, i) => Math.max(max, Math.abs(x - b[i]!)), 0);

test("phases are swapped under an open session, there and back", async () => {
  const weights = await FinetunedWeights.open(base, phases, graph().params.values(), { lane });
  const [first, second, again] = await velocities(weights, ["phase1", "phase2", "phase1"]);
  expect(again).toEqual(first);
  expect(difference(first!, second!)).toBeGreaterThan(0.1);
});

test("pairs beside a base that stays in its file give what merged ones do", async () => {
  const specs = [...graph().params.values()];
  const merged = await FinetunedWeights.open(base, phases, specs, { lane });
  const beside = await FinetunedWeights.open(base, phases, specs, { lane, mapBeyondBytes: 0 });
  const expected = await velocities(merged, ["phase1", "phase2"]);
  const results = await velocities(beside, ["phase1", "phase2"]);
  results.forEach((result, i) => expect(difference(result, expected[i]!)).toBeLessThan(1e-5));
});

test("stages of blocks over a base in its file give the bits of one session", async () => {
  const weights = await FinetunedWeights.open(base, phases, graph().params.values(), {
    lane,
    mapBeyondBytes: 0,
  });
  const { dit: config, maxMapBlock } = TINY_MODEL;
  const results: Float32Array[] = [];
  for (const blocksPerStage of [null, 1]) {
    const placement = { device: "cpu", threads: 1, blocksPerStage } as const;
    const denoiser = new Denoiser({ config, shape, maxMapBlock, lane, weights, placement });
    for (const phase of ["phase1", "phase2"] as const) {
      await denoiser.use(phase);
      results.push(await denoiser.predict(segment, { branch: "positive", latents, timestep: 500 }));
    }
    await denoiser.close();
  }
  await weights.release();
  expect(results.slice(2)).toEqual(results.slice(0, 2));
});

test("calibrated layers run in int8 in both phases, in one session or in stages", async () => {
  const specs = [...graph().params.values()];
  const exact = await FinetunedWeights.open(base, phases, specs, { lane });
  const { dit: config, maxMapBlock } = TINY_MODEL;
  const segments = [
    { phase: "phase1", inputs: segment },
    { phase: "phase2", inputs: segment },
  ] as const;
  const merged = { phase1: await exact.read("phase1"), phase2: await exact.read("phase2") };
  const network = heldNetwork({ config, shape, weights: merged, threads: 1 });
  const options = { network, segments, schedule: flowMatchSchedule(2), guidanceScale: 1, seed: 0 };
  const searched = await searchInt8(options, join(folder, "rows"));
  const { groups } = await chooseInt8(options, searched, 0.02);
  const path = await int8Path(folder);
  const model = await openModelFolder(folder);
  const fingerprint = await weightsFingerprint(model);
  const chosen = groups.filter(({ isQuantized }) => isQuantized);
  expect(chosen.length).toBeGreaterThan(0);
  await writeInt8Calibration(path, { groups: chosen, velocityError: 0.02, fingerprint });
  const int8 = await readInt8Calibration(model);
  const weights = await FinetunedWeights.open(base, phases, specs, { lane, int8 });
  const evaluate = async (of: FinetunedWeights, blocksPerStage: number | null) => {
    const placement = { device: "cpu", threads: 1, blocksPerStage } as const;
    const denoiser = new Denoiser({ config, shape, maxMapBlock, lane, weights: of, placement });
    const results: Float32Array[] = [];
    for (const phase of ["phase1", "phase2", "phase1"] as const) {
      await denoiser.use(phase);
      results.push(await denoiser.predict(segment, { branch: "positive", latents, timestep: 500 }));
    }
    await denoiser.close();
    return results;
  };
  const expected = await evaluate(exact, null);
  const results = await evaluate(weights, null);
  expect(await evaluate(weights, 1)).toEqual(results);
  expect(results[2]).toEqual(results[0]);
  results.forEach((result, i) => {
    const error = Math.hypot(...result.map((x, j) => x - expected[i]![j]!)) / Math.hypot(...expected[i]!);
    expect(error).toBeGreaterThan(1e-5);
    expect(error).toBeLessThan(0.04);
  });
  await writeInt8Calibration(path, { groups: chosen, velocityError: 0.02, fingerprint: "0".repeat(64) });
  await expect(readInt8Calibration(model)).rejects.toThrow(
    /made for other weights; run `posegen models calib/,
  );
  await rm(path);
  await expect(readInt8Calibration(model)).rejects.toThrow(/is missing; run `posegen models calibrate/);
});

test("LoRAs are stacked with weights, merged or beside the base", async () => {
  const specs = [...graph().params.values()];
  const open = (stack: readonly AppliedLora[], mapBeyondBytes?: number) =>
    FinetunedWeights.open(base, { phase1: stack, phase2: phases.phase2 }, specs, {
      lane,
      ...(mapBeyondBytes !== undefined && { mapBeyondBytes }),
    });
  const [one, half, none] = [
    await applied("phase1"),
    await applied("phase2", 0.5),
    await applied("phase2", 0),
  ];
  const [alone] = await velocities(await open([one]), ["phase1"]);
  const [unchanged] = await velocities(await open([one, none]), ["phase1"]);
  expect(unchanged).toEqual(alone);
  const [stacked] = await velocities(await open([one, half]), ["phase1"]);
  expect(difference(stacked!, alone!)).toBeGreaterThan(0.1);
  const [beside] = await velocities(await open([one, half], 0), ["phase1"]);
  expect(difference(beside!, stacked!)).toBeLessThan(1e-5);
  const [other] = await velocities(await open([one, half, half], 0), ["phase1", "phase2"]);
  expect(difference(other!, stacked!)).toBeGreaterThan(0.05);
});

test("a distilled LoRA as extracted from a model: pairs with alphas, and what is added to norms, biases, modulations", async () => {
  const specs = new Map([...graph().params.values()].map((spec) => [spec.name, spec]));
  const normals = (key: string, size: readonly number[]): Tensor<"float32"> =>
    float32(
      new Random(`distilled ${key}`).normals(sizeOf(size)).map((x) => 0.2 * x),
      size,
    );
  const tensors: Record<string, Tensor> = {};
  const expected = new Map<string, Tensor<"float32">>();
  for (const [key, { shape: size }] of specs) {
    const path = `diffusion_model.${key.replace(/\.(?:weight|bias|modulation)$/, "")}`;
    if (/^blocks\..*(?:attn|ffn).*\.weight$/.test(key) && size.length === 2) {
      tensors[`${path}.lora_down.weight`] = normals(`${key} a`, [2, size[1]!]);
      tensors[`${path}.lora_up.weight`] = normals(`${key} b`, [size[0]!, 2]);
      tensors[`${path}.alpha`] = float32([1], []);
    } else if (/^blocks\..*norm.*weight$|\.bias$|modulation$/.test(key)) {
      const word = { weight: "diff", bias: "diff_b", modulation: "diff_m" }[key.replace(/^.*\./, "")]!;
      tensors[`${path}.${word}`] = normals(key, size);
      expected.set(key, normals(key, size));
    }
  }
  expect(expected.has("blocks.0.modulation") && expected.has("head.modulation")).toBe(true);
  const path = join(folder, "distilled.safetensors");
  await writeSafetensors(path, tensors);
  const distilled = { file: await openLora(path), weight: 1 };
  const stacks = { phase1: [phases.phase1[0]!, distilled], phase2: [phases.phase2[0]!, distilled] };
  const open = (loras: PhaseLoras, mapBeyondBytes = Infinity) =>
    FinetunedWeights.open(base, loras, specs.values(), { lane, mapBeyondBytes });
  const [plain, merged] = [
    await (await open(phases)).read("phase1"),
    await (await open(stacks)).read("phase1"),
  ];
  for (const [key, diff] of expected) {
    const sum = plain.get(key)!.data.map((x, i) => x + diff.data[i]!);
    expect(merged.get(key)!.data, key).toEqual(sum);
  }
  const inMemory = await velocities(await open(stacks), ["phase1", "phase2"]);
  const fromFile = await velocities(await open(stacks, 0), ["phase1", "phase2"]);
  inMemory.forEach((velocity, i) => expect(difference(velocity, fromFile[i]!)).toBeLessThan(1e-5));
  const [without] = await velocities(await open(phases), ["phase1"]);
  expect(difference(inMemory[0]!, without!)).toBeGreaterThan(0.05);
});

test("a finetuning that does not fit is refused by name, with both shapes", async () => {
  const open = async (tensors: Record<string, Tensor>) => {
    const path = join(folder, "other.safetensors");
    await writeSafetensors(path, tensors);
    const phase1 = [{ file: await openLora(path), weight: 1 }];
    return FinetunedWeights.open(base, { ...phases, phase1 }, graph().params.values(), { lane });
  };
  const stem = "blocks.0.ffn.0";
  const a = zeros([2, 24]);
  for (const [tensors, message] of [
    [{ "blocks.7.new": zeros([3]) }, /changes "blocks.7.new", which the denoiser does not have/],
    [{ "patch_embedding.bias": zeros([3]) }, /"patch_embedding.bias" as \[3\]; the denoiser has \[24\]/],
    [{ [`${stem}.lora_A.weight`]: a }, /lora_A but no lora_B for blocks.0.ffn.0.weight/],
    [
      { [`${stem}.lora_A.weight`]: a, [`${stem}.lora_B.weight`]: zeros([9, 2]) },
      /"blocks.0.ffn.0.weight" as \[9, 24\]; the denoiser has \[48, 24\]/,
    ],
  ] as const) {
    const error: unknown = await open(tensors).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(message);
  }
});

test("what both phases hold whole may be missing from the base", async () => {
  const tensors: Record<string, Tensor> = {};
  for (const key of base.tensors.keys()) {
    if (!/(ref|hand)_patch_embedding/.test(key)) tensors[key] = await base.readTensor(key);
  }
  const path = join(folder, "published-base.safetensors");
  await writeSafetensors(path, tensors);
  const published = await openSafetensors(path);
  const specs = [...graph().params.values()];
  const [whole, without] = await Promise.all(
    [base, published].map((checkpoint) => FinetunedWeights.open(checkpoint, phases, specs, { lane })),
  );
  expect(await velocities(without!, ["phase1"])).toEqual(await velocities(whole!, ["phase1"]));
});
