import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readInt8Calibration } from "../../diffusion/int8-calibration.ts";
import { openModelFolder } from "../../diffusion/model-folder.ts";
import { writeTinyModel } from "../../diffusion/testing.ts";
import { runHere } from "../cli/testing.ts";
import { type CalibrateOptions, calibrateModel } from "./calibrate-model.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "calibrate-model-"));
});
afterAll(() => rm(folder, { recursive: true }));

function options(more: Partial<CalibrateOptions> = {}): CalibrateOptions & { readonly notices: string[] } {
  const notices: string[] = [];
  const onNotice = (text: string): void => void notices.push(text);
  return { signal: new AbortController().signal, onProgress: () => {}, onNotice, notices, ...more };
}

const REQUEST = { maxError: 0.05, steps: 1, segmentFrames: 5, threads: 1 };

test("a model in memory is calibrated into one file", async () => {
  const model = await writeTinyModel(join(folder, "held"));
  const { exitCode, stdout, stderr } = await runHere([
    ..."models calibrate --max-error 0.05 --steps 1 --segment-frames 5 --size 32x32 --threads 1".split(" "),
    model,
  ]);
  expect(stderr).toMatch(/generates 4 segments of 5 frames of 32x32 in float32\n/);
  expect(stdout).toMatch(/int8\.safetensors: \d+ of \d+ groups of linear layers in int8, velocity off by \d/);
  expect(exitCode).toBe(0);
  expect((await readdir(model)).filter((name) => /int8/.test(name))).toEqual(["int8.safetensors"]);
});

test("a model that stays in its files is calibrated in stages, and goes on after an interruption", async () => {
  const path = await writeTinyModel(join(folder, "mapped"));
  const request = { ...REQUEST, model: path };
  const files = async (): Promise<string[]> => (await readdir(path)).filter((name) => /int8/.test(name));
  const controller = new AbortController();
  const stopped = options({
    mapBeyondBytes: 0,
    signal: controller.signal,
    // The last tensor is written, and the choice has not begun.
    onProgress: ({ doneBytes, totalBytes }) =>
      void (doneBytes === totalBytes && controller.abort(new Error("enough"))),
  });
  await expect(calibrateModel(request, stopped)).rejects.toThrow("enough");
  expect(await files()).toEqual(["int8-weights.safetensors"]);
  const again = options({ mapBeyondBytes: 0 });
  const { velocityError } = await calibrateModel(request, again);
  expect(again.notices).toContain("goes on with the smoothing and the weights that an earlier run has left");
  expect(velocityError).toBeLessThanOrEqual(0.05);
  expect(await files()).toEqual(["int8-weights.safetensors", "int8.safetensors"]);
  expect((await readInt8Calibration(await openModelFolder(path), 0)).weights).not.toBeNull();

  const bytes = await Promise.all((await files()).map((name) => readFile(join(path, name))));
  await rm(join(path, "int8-weights.safetensors"));
  const anew = options({ mapBeyondBytes: 0 });
  await calibrateModel(request, anew);
  expect(anew.notices.join("\n")).toMatch(
    /evaluation 1 of the denoiser took .*\n(?:.*\n)*searched the smoothing/,
  );
  expect(await Promise.all((await files()).map((name) => readFile(join(path, name))))).toEqual(bytes);
});

test("sizes that no model has are refused", async () => {
  const model = await writeTinyModel(join(folder, "refused"));
  for (const [more, message] of [
    [{ steps: 0 }, /0 steps; expected a whole number from 1/],
    [{ segmentFrames: 6 }, /6 frames/],
    [{ size: { width: 30, height: 32 } }, /30x32/],
    [{ maxError: 0 }, /an error of 0 is asked for/],
  ] as const) {
    await expect(calibrateModel({ ...REQUEST, model, ...more }, options())).rejects.toThrow(message);
  }
});
