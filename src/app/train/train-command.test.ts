/** `posegen train` as a user runs it, at the smallest size. */
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openLora } from "../../diffusion/lora-file.ts";
import { MODEL_FILES, openModelFolder } from "../../diffusion/model-folder.ts";
import { readImage } from "../../media/image.ts";
import { probeVideo } from "../../media/video.ts";
import { writeTinyInputs } from "../../pipeline/testing.ts";
import { readStepLog } from "../../training/step-log.ts";
import { runHere, start } from "../cli/testing.ts";
import { tinySettings, writeSettings, writeTinyWorld } from "./testing.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-train-"));
  await writeTinyWorld(folder);
});
afterAll(() => rm(folder, { recursive: true }));

const at = (...names: string[]): string => join(folder, ...names);

const settingsFile = (name: string, settings: object): Promise<string> =>
  writeSettings(at(`${name}.yaml`), settings);

/** Trains to the end; stderr is returned. */
async function train(config: string, ...flags: string[]): Promise<string> {
  const { exitCode, stderr } = await runHere(["train", "--config", config, ...flags]);
  expect(exitCode, stderr).toBe(0);
  return stderr;
}

const lossesOf = async (run: string): Promise<number[]> =>
  (await readStepLog(at(run))).map(({ metrics }) => metrics["loss"]!);

test("a base, its phases, a sheet, and the model that comes of them", { timeout: 240_000 }, async () => {
  const samples = { everySteps: 4, clips: [0, 3] };
  const base = await settingsFile("base", { ...tinySettings(folder, "base"), samples });
  expect(await train(base)).toMatch(
    /^4\/4  loss [\d.]+, rate [\d.e-]+, gradient [\d.]+, [\d.]+ samples\/s, \d+ % of peak, 0(?:\.0)? s left$/m,
  );
  expect(await readdir(at("base"))).toEqual(
    expect.arrayContaining(["config.yaml", "log.jsonl", "loss.svg", "step-00000004.safetensors"]),
  );
  for (const kind of ["phase1", "phase2"] as const) {
    const settings = { ...tinySettings(folder, kind), from: at("base") };
    await train(await settingsFile(kind, { ...settings, samples }));
  }
  // Reference and three times three frames of 32 x 48, three gaps; two rows.
  for (const kind of ["base", "phase2"]) {
    const sheet = await readImage(at(kind, "samples", "step-00000004.png"));
    expect([sheet.width, sheet.height]).toEqual([10 * 32 + 3 * 4, 2 * 48 + 4]);
  }

  const runs = ["base", "phase1", "phase2"].map((run) => at(run));
  const { stdout } = await runHere(["train", "export", ...runs, "--out", at("exported")]);
  expect(stdout.trim()).toBe(at("exported"));
  const { description } = await openModelFolder(at("exported"));
  expect(description).toMatchObject({
    name: "exported",
    defaults: { width: 32, height: 48, segmentFrames: 9, fps: 16 },
  });
  for (const phase of ["phase1", "phase2"] as const) {
    const { pairs, whole } = await openLora(at("exported", MODEL_FILES[phase]));
    expect(pairs.size).toBe(20);
    expect([...whole.keys()].filter((key) => key.endsWith(".weight")).sort()).toEqual([
      "hand_patch_embedding.0.weight",
      "hand_patch_embedding.1.weight",
      "patch_embedding.weight",
      "ref_patch_embedding.weight",
    ]);
  }
});

test("generate takes the exported model", { timeout: 240_000 }, async () => {
  const { image, keypoints } = await writeTinyInputs(at("inputs"), 5);
  const inputs = ["--image", image, "--keypoints", keypoints, "--align", "off", "--out", at("video.mp4")];
  const { stderr, exitCode } = await runHere(["generate", "--model", at("exported"), ...inputs]);
  expect(exitCode, stderr).toBe(0);
  // 5 frames of 8 a second at the trained rate of 16.
  expect(await probeVideo(at("video.mp4"))).toMatchObject({
    width: 32,
    height: 48,
    frameRate: 16,
    numFrames: 10,
  });
});

test("a killed run goes on, and ends with the same bytes", { timeout: 240_000 }, async () => {
  const config = await settingsFile("killed", { ...tinySettings(folder, "phase1"), out: at("killed") });
  expect(await train(config)).toMatch(/encoding captions and references (\d+)\/\1$/m);
  const last = at("killed", "step-00000004.safetensors");
  const [whole, losses] = [await readFile(last), await lossesOf("killed")];
  // What a run leaves that is killed after step 3: the checkpoint of step 2, and a log of three steps.
  await rm(last);
  const resumed = await train(config);
  expect(resumed).toContain("going on after step 2 of 4");
  expect(resumed).not.toContain("encoding");
  expect(await readFile(last)).toEqual(whole);
  expect(await lossesOf("killed")).toEqual(losses);

  const refused = await runHere(["train", "--config", config, "--no-resume"]);
  expect(refused.stderr).toContain("holds a run of 4 steps");
  const changed = await runHere(["train", "--config", config, "--set", "learningRate.peak=5e-3"]);
  expect(changed.stderr).toContain("learningRate.peak was 0.001 and is 0.005");
  expect([refused.exitCode, changed.exitCode]).toEqual([1, 1]);
});

test("two passes of two clips are one of four", { timeout: 240_000 }, async () => {
  const settings = { ...tinySettings(folder, "phase1"), maxGradientNorm: 1e9 };
  const stage = { untilStep: 2, latentFrames: 3 };
  const runs = {
    once: { stages: [{ ...stage, batch: 4 }], accumulate: 1 },
    twice: { stages: [{ ...stage, batch: 2 }], accumulate: 2 },
  };
  for (const [name, changes] of Object.entries(runs)) {
    await train(await settingsFile(name, { ...settings, ...changes, out: at(name) }));
  }
  const [once, twice] = [await readStepLog(at("once")), await readStepLog(at("twice"))];
  once.forEach(({ metrics, gradientNorm }, i) => {
    expect(twice[i]!.metrics["loss"]! / metrics["loss"]!).toBeCloseTo(1, 5);
    expect(twice[i]!.gradientNorm / gradientNorm).toBeCloseTo(1, 4);
  });
});

test("a dry run says what it would cost and makes nothing", async () => {
  const config = await settingsFile("dry", { ...tinySettings(folder, "phase1"), out: at("dry") });
  const { stdout, exitCode } = await runHere(["train", "--config", config, "--dry-run"]);
  expect(exitCode).toBe(0);
  // 3 latent frames of 4 x 6 latents in patches of 2 x 2.
  expect(stdout).toMatch(/3 latent frames \(9 frames\) +4 +2 +18 \+ 6 /);
  expect(stdout).toContain("24.1 k learn");
  expect(stdout).toMatch(/encodings +at most \d/);
  expect(await readdir(folder)).not.toContain("dry");
});

test("the published size can be planned without data", { timeout: 240_000 }, async () => {
  const settings = { ...tinySettings(folder, "phase1"), model: "published", width: 480, height: 832 };
  const stages = [{ untilStep: 4000, latentFrames: 21, batch: 1 }];
  const config = await settingsFile("published", { ...settings, stages, dataset: { folder: at("none") } });
  const { stdout, stderr } = await runHere(["train", "--config", config, "--dry-run"]);
  expect(stdout, stderr).toContain("32760 + 1560");
});

test.each([
  [{ dataset: { folder: "nowhere" } }, "nowhere is no finished dataset"],
  [{ model: "nowhere" }, "nowhere is not a model folder"],
  [{ model: "tiny" }, 'phase1 finetunes a model, and "tiny" is an architecture without weights'],
  [{ width: 64 }, "has clips of width 32; the training needs 64"],
  [{ kind: "phase2" }, "has no pictures pasted at the ends of its clips"],
  [
    { lora: { targets: ["blocks.*.self_attn.p"] } },
    'no linear layer of the denoiser matches "blocks.*.self_attn.p"',
  ],
  [{ stages: [{ untilStep: 4, latentFrames: 9, batch: 2 }] }, "a stage wants clips of 9 latent frames"],
  [{ dataset: { folder: "clips", clips: 9 } }, "dataset.clips is 9"],
  [{ samples: { folder: "nowhere" } }, "nowhere is no finished dataset"],
  [{ samples: { clips: [4, 9] } }, "samples.clips is 4, 9; "],
])("%j is refused", async (changes, message) => {
  const settings: Record<string, unknown> = {
    ...tinySettings(folder, "phase1"),
    out: at("refused"),
    ...changes,
  };
  if ("dataset" in changes && changes.dataset.folder === "clips")
    settings["dataset"] = { folder: at("clips"), clips: 9 };
  const { stderr, exitCode } = await runHere(["train", "--config", await settingsFile("refused", settings)]);
  expect(stderr).toContain(message);
  expect(exitCode).toBe(1);
});

test("Ctrl-C finishes the step, saves, and says how to go on", { timeout: 240_000 }, async () => {
  const stages = [{ untilStep: 100_000, latentFrames: 3, batch: 2 }];
  const settings = {
    ...tinySettings(folder, "phase1"),
    stages,
    out: at("stopped"),
    checkpoint: { everySteps: 100_000 },
  };
  const { child, outcome } = start(["train", "--config", await settingsFile("stopped", settings)]);
  child.stderr!.on("data", (text: Buffer) => {
    if (String(text).includes("1/100000")) child.kill("SIGINT");
  });
  const { exitCode, stderr } = await outcome;
  expect(exitCode).toBe(130);
  const [, step] = /Interrupted after step (\d+) of 100000/.exec(stderr) ?? [];
  expect((await readStepLog(at("stopped"))).at(-1)!.step).toBe(Number(step));
  expect(await readdir(at("stopped"))).toContain(`step-${step!.padStart(8, "0")}.safetensors`);
});

test("a VAE, then its decoder alone, then a folder for datasets", { timeout: 240_000 }, async () => {
  const vae = {
    kind: "vae",
    model: "tiny",
    out: at("vae"),
    start: "random",
    steps: 2,
    window: { batch: 1, numFrames: 5, height: 16, width: 16 },
    clips: { train: 2, heldOut: 1 },
    threads: 1,
    samples: { everySteps: 2 },
  };
  await train(await settingsFile("vae", vae));
  expect((await readImage(at("vae", "samples", "step-00000002.png"))).height).toBe(192);
  await train(
    await settingsFile("decoder", { ...vae, part: "decoder", from: at("vae"), out: at("decoder") }),
  );
  const { stdout } = await runHere(["train", "export", at("decoder"), "--out", at("encoders")]);
  expect(stdout).toContain("still missing for `generate`: dit, phase1, phase2, textEncoder, imageEncoder");
});

test("without a configuration, and with --explain", async () => {
  expect((await runHere(["train"])).stderr).toContain("name one with --config");
  const { stdout } = await runHere(["train", "--explain", "phase2"]);
  expect(stdout).toContain("lora.rank: whole number, default 16");
  expect(stdout).not.toContain("window");
});
