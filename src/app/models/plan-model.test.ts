import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { publishedWeights, writePublishedModel } from "../../diffusion/layouts/testing.ts";
import { TINY_MODEL, writeTinyModel } from "../../diffusion/testing.ts";
import { type ModelPlanRequest, type ModelWeights, planModel, planWays } from "../../pipeline/model-plan.ts";
import { MAP_BEYOND_BYTES } from "../../runtime/shared-weights.ts";
import { runHere } from "../cli/testing.ts";

const SMALL: ModelWeights = {
  description: TINY_MODEL,
  denoiser: { storedBytes: 1e5, floatBytes: 2e5, blockBytes: 4e4 },
  finetuningBytes: 1e4,
  int8: null,
};
/** The same network with numbers of one that stays in its files. */
const LARGE: ModelWeights = {
  ...SMALL,
  denoiser: { storedBytes: 2e9, floatBytes: 2 * MAP_BEYOND_BYTES, blockBytes: 5e8 },
  finetuningBytes: 1e8,
};
const REQUEST: ModelPlanRequest = {
  width: 512,
  height: 512,
  numFrames: 120,
  segmentFrames: 33,
  numSteps: 3,
  guidanceScale: 2,
  kvShare: "auto",
  isAccelerator: false,
  gflops: 100,
  memoryBytes: 64e9,
};

test("shows what was asked for where it fits", async () => {
  const [way, ...others] = await planWays(SMALL, REQUEST);
  expect(others).toEqual([]);
  expect(way).toMatchObject({ segmentFrames: 33, fits: true, rereadBytes: 0, tiling: null });
  // Segments of 33 frames that overlap by 17.
  expect(way!.numSegments).toBe(5);
  expect(way!.sharing).toMatchObject({ shot: "full-body", steps: [0, 2], blocks: [1, 2] });
  expect(way!.numEvaluations).toBe(5 * 3 * 2);
});

test("keeps keys on the disk, leaves out sharing, then shortens segments, down to the memory there is", async () => {
  // So little that the VAE works in tiles, as it will.
  const shared: ModelPlanRequest = { ...REQUEST, memoryBytes: 1e9 };
  const alone: ModelPlanRequest = { ...shared, kvShare: "off" };
  const kept = { ...shared, keeping: { keyFolder: "" } };
  const bytesOf = async (request: ModelPlanRequest): Promise<number> =>
    (await planModel(SMALL, request)).memory.totalBytes;
  const spilled = await planWays(SMALL, { ...REQUEST, memoryBytes: await bytesOf(kept) });
  expect(spilled.map(({ sharing, keeping, fits }) => [sharing !== null, keeping, fits])).toEqual([
    [true, {}, false],
    [true, { keyFolder: "" }, true],
  ]);
  expect(await bytesOf(kept)).toBeLessThan(await bytesOf(shared));
  const memoryBytes = await bytesOf(alone);
  const second = await planWays(SMALL, { ...REQUEST, memoryBytes });
  expect(second.map(({ sharing, fits }) => [sharing !== null, fits])).toEqual([
    [true, false],
    [false, true],
  ]);
  const tight = { ...REQUEST, memoryBytes: 4 + (await bytesOf({ ...alone, segmentFrames: 25 })) };
  const third = await planWays(SMALL, tight);
  expect(third.map(({ segmentFrames, fits }) => [segmentFrames, fits])).toEqual([
    [33, false],
    [33, false],
    [25, true],
  ]);
  const none = await planWays(SMALL, { ...REQUEST, memoryBytes: 1e6 });
  expect(none.at(-1)).toMatchObject({ segmentFrames: 17, fits: false });
});

test("reads a large file again at every evaluation where memory does not keep it", async () => {
  const enough = await planModel(LARGE, REQUEST);
  expect([enough.rereadBytes, enough.rereadMs]).toEqual([0, 0]);
  const small = await planModel(SMALL, REQUEST);
  expect(enough.memory.totalBytes - small.memory.totalBytes).toBeCloseTo(1.5e8);
  const memoryBytes = enough.memory.totalBytes + LARGE.denoiser.storedBytes / 2;
  const short = await planModel(LARGE, { ...REQUEST, memoryBytes });
  expect(short).toMatchObject({ fits: true, rereadBytes: 2e9, rereadMs: 30 * 1000 });
  const device = await planModel(LARGE, { ...REQUEST, isAccelerator: true });
  expect(device.memory.totalBytes - enough.memory.totalBytes).toBeCloseTo(LARGE.denoiser.floatBytes);
  expect(device.rereadBytes).toBe(0);
});

test("sends blocks through memory a few at a time as a run does, and through a device that does not hold all", async () => {
  const denoiser = { ...LARGE.denoiser, blockBytes: 1.9e9 };
  const large: ModelWeights = { ...LARGE, denoiser };
  const whole = await planModel(large, REQUEST);
  const staged = await planModel(large, { ...REQUEST, memoryBytes: 2.5e9 });
  expect([whole.blocksPerStage, staged.blocksPerStage]).toEqual([null, 1]);
  // Of the plain graph and two that share, one is open.
  expect(staged.memory.denoiserBytes).toBeLessThan(whole.memory.denoiserBytes);
  // Where three graphs do not fit, but one does, it is asked for.
  const small: ModelWeights = { ...large, denoiser: { ...denoiser, storedBytes: 1e5 } };
  const three = await planModel(small, { ...REQUEST, memoryBytes: 1e9 });
  const tight: ModelPlanRequest = { ...REQUEST, memoryBytes: three.memory.totalBytes - 1 };
  expect(
    (await planWays(small, tight)).map((way) => [way.blocksPerStage, way.sharing !== null, way.fits]),
  ).toEqual([
    [null, true, false],
    [1, true, true],
  ]);
  const device = { ...REQUEST, isAccelerator: true };
  const { blocksPerStage, memory, rereadBytes } = await planModel(large, { ...device, memoryBytes: 5e9 });
  expect([blocksPerStage, rereadBytes]).toEqual([1, denoiser.storedBytes]);
  const held = await planModel(large, device);
  expect(held.blocksPerStage).toBeNull();
  const { numLayers } = large.description.dit;
  expect(held.memory.weightBytes - memory.weightBytes).toBeCloseTo(denoiser.floatBytes * (1 - 1 / numLayers));
});

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "plan-model-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("posegen models plan tells of a model on disk, and what to do", async () => {
  const model = await writeTinyModel(join(folder, "tiny"));
  const args = ["models", "plan", "--model", model, "--gflops", "100", "--memory", "8", "--frames", "60"];
  const { stdout, stderr, exitCode } = await runHere(args);
  expect([stderr, exitCode]).toEqual(["", 0]);
  const text = stdout.replaceAll(/ +/g, " ");
  expect(text).toContain(" result 32x48, 60 frames at 8 fps, 7.5 s\n");
  expect(text).toContain(" memory 8.0 GiB, as given\n");
  expect(text).toMatch(/ \d+ segments of 9 frames, sharing full-body: .* fits\n/);
  expect(text).toMatch(
    /Time: \d+ evaluations of the denoiser with .*FLOP each; with reading and writing values/,
  );
  expect(text).toContain("Generate with --size 32x48.\n");
});

test("what cannot be planned is said in one line, a missing part with the file that would fill it", async () => {
  const tiny = join(folder, "tiny");
  const incomplete = await writePublishedModel(join(folder, "incomplete"), "original", publishedWeights());
  await rm(join(incomplete, "models_t5_umt5-xxl-enc-bf16.pth"));
  const here = ["--gflops", "100", "--memory", "8"];
  const refused: [string[], RegExp][] = [
    [["--model", incomplete], /lacks the text encoder \(models_t5_umt5-xxl-enc-bf16\.pth from Wan-AI/],
    [["--model", tiny, ...here, "--size", "100x100"], /size: got 100x100; expected multiples of 16/],
    [["--model", tiny, ...here, "--device", "abacus"], /unknown device "abacus"/],
    [["--model", tiny, ...here, "--precision", "f8"], /precision: got "f8"; expected f32, f16, bf16/],
    [["--model", tiny, ...here, "--segment-frames", "10"], /segment length of 10 frames; expected 4k \+ 1/],
    [["--model", tiny, "--gflops", "0"], /must be above 0/],
    [["--model", tiny, ...here, "--precision", "int8"], /has not been calibrated for int8/],
  ];
  for (const [args, message] of refused) {
    const { stderr, stdout, exitCode } = await runHere(["models", "plan", ...args]);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^error: .+\n$/);
    expect([stdout, exitCode]).toEqual(["", 1]);
  }
});

test("the published model is planned in int8: in stages, in less time, with packed weights of one stage", async () => {
  const here = [
    "--gflops",
    "350",
    "--memory",
    "64",
    "--size",
    "256x144",
    "--frames",
    "17",
    "--segment-frames",
    "17",
  ];
  const plan = async (...more: string[]) => {
    const { stdout, exitCode } = await runHere(["models", "plan", ...here, "--no-kv-share", ...more]);
    expect(exitCode).toBe(0);
    const [, flops] = /as long as ([\d.]+) TFLOP/.exec(stdout)!;
    return { stdout, effort: Number(flops) };
  };
  const [exact, int8] = [await plan(), await plan("--precision", "int8")];
  expect(int8.stdout).toMatch(/in int8/);
  expect(int8.stdout).toMatch(/stages of 2 blocks/);
  expect(int8.effort / exact.effort).toBeLessThan(0.75);
});
