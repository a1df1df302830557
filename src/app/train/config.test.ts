import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkTrainingConfig, readTrainingConfig } from "./config.ts";
import { nearestKey } from "./config-issues.ts";
import { runFingerprint } from "./run-folder.ts";

const MINIMAL = {
  kind: "phase1",
  model: "tiny",
  out: "run",
  dataset: { folder: "clips" },
  stages: [{ untilStep: 10, latentFrames: 3, batch: 2 }],
  learningRate: { peak: 1e-4 },
};

const failing = (changes: object): string => {
  try {
    checkTrainingConfig({ ...MINIMAL, ...changes }, "a.yaml");
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("no error");
};

describe("defaults", () => {
  test("are those of the paper for phases", () => {
    expect(checkTrainingConfig(MINIMAL, "a.yaml")).toMatchObject({
      lora: { rank: 16, alpha: 16 },
      drop: { hands: 0.1, text: 0.1, pose: 0, reference: 0 },
      timesteps: "published",
      learningRate: { peak: 1e-4, warmup: 0.1, floor: 0 },
      shift: 5,
    });
  });

  test("differ for a base", () => {
    const base = checkTrainingConfig({ ...MINIMAL, kind: "base" }, "a.yaml");
    expect(base).toMatchObject({ timesteps: "uniform", optimizer: { name: "muon" } });
    expect(base).not.toHaveProperty("lora");
  });
});

describe("faults name what to mend", () => {
  test.each([
    [{ learningrate: {} }, 'there is no key "learningrate"; did you mean "learningRate"?'],
    [{ rank: 4 }, 'there is no key "rank"; did you mean "lora.rank"?'],
    [{ drop: { hand: 0.1 } }, 'there is no key "drop.hand"; did you mean "drop.hands"?'],
    [{ zzzzzzzz: 1 }, 'there is no key "zzzzzzzz"'],
    [{ kind: "phase3" }, 'kind is "phase3"; expected one of vae, base, phase1, phase2'],
    [{ seed: -1 }, "seed: "],
    [{ drop: { hands: 2 } }, "drop.hands: "],
    [{ width: 100 }, "width: "],
    [{ kept: {} }, 'there is no key "kept"'],
    [{ kind: "phase2", drop: { pose: 0.05 } }, "drop.pose is 0.05; phase2 needs 0"],
    [
      { stages: [...MINIMAL.stages, { untilStep: 10, latentFrames: 3, batch: 2 }] },
      "stages.1.untilStep is 10, which is not after the stage before it (10)",
    ],
  ])("%j", (changes, message) => {
    expect(failing(changes)).toContain(message);
  });

  test("keys that are unlike any have no suggestion", () => {
    expect(nearestKey("zzzzzzzz", ["seed", "out"])).toBeNull();
    expect(nearestKey("stages.3.untilstep", ["stages.untilStep", "out"])).toBe("stages.untilStep");
  });
});

describe("files", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "posegen-config-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const read = async (text: string, changes: string[] = []) => {
    const path = join(folder, "config");
    await writeFile(path, text);
    return readTrainingConfig(path, changes);
  };

  test("JSON and YAML say the same", async () => {
    const yaml = `
kind: phase1
model: tiny
out: run
dataset: { folder: clips }
stages:
  - { untilStep: 10, latentFrames: 3, batch: 2 }
learningRate: { peak: 1e-4 }
`;
    expect(await read(yaml)).toEqual(await read(JSON.stringify(MINIMAL)));
  });

  test("--set goes before the file, also inside lists", async () => {
    const changes = ["learningRate.peak=2e-4", "stages.0.batch=8", "samples.everySteps=null", "out=a b"];
    expect(await read(JSON.stringify(MINIMAL), changes)).toMatchObject({
      learningRate: { peak: 2e-4 },
      stages: [{ batch: 8, untilStep: 10 }],
      samples: { everySteps: null },
      out: "a b",
    });
    await expect(read(JSON.stringify(MINIMAL), ["seed"])).rejects.toThrow("expected KEY=VALUE");
    await expect(read(JSON.stringify(MINIMAL), ["__proto__.seed=1"])).rejects.toThrow("there is no key");
  });

  test("what is no configuration is refused in words", async () => {
    await expect(read("kind: [")).rejects.toThrow("neither YAML nor JSON");
    await expect(read("just text")).rejects.toThrow("holds no settings");
    await expect(read("a: 1\na: 2\n")).rejects.toThrow("unique");
    await expect(readTrainingConfig(join(folder, "none.yaml"))).rejects.toThrow(
      "cannot read the configuration",
    );
    await expect(readTrainingConfig(folder)).rejects.toThrow("is no configuration");
  });
});

test("the fingerprint leaves out what weights do not depend on", () => {
  const of = (changes: object) => runFingerprint(checkTrainingConfig({ ...MINIMAL, ...changes }, "a"));
  const moved = { out: "elsewhere", threads: 3, dataset: { folder: "moved" }, checkpoint: { everySteps: 7 } };
  expect(of(moved)).toBe(of({}));
  expect(of({ seed: 2 })).not.toBe(of({}));
  expect(of({ stages: [{ untilStep: 10, latentFrames: 3, batch: 4 }] })).not.toBe(of({}));
});
