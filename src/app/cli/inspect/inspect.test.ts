import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeTinyInputs, type TinyInputs } from "../../../pipeline/testing.ts";
import { WorkDirectory } from "../../../pipeline/work-directory.ts";
import { writeSafetensors } from "../../../runtime/safetensors-writer.ts";
import { zeros } from "../../../tensor/tensor.ts";
import { runHere } from "../testing.ts";

let folder: string;
let inputs: TinyInputs;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-inspect-"));
  inputs = await writeTinyInputs(folder, 4);
});

afterAll(async () => rm(folder, { recursive: true, force: true }));

/** Output of `posegen inspect` with single blanks. */
async function inspect(path: string): Promise<string> {
  const { stdout, stderr } = await runHere(["inspect", path]);
  expect(stderr).toBe("");
  return stdout.replaceAll(/ +/g, " ");
}

test("images and videos", async () => {
  expect(await inspect(inputs.image)).toBe("image, 128x192\n");
  expect(await inspect(inputs.video)).toBe("video, 128x192, 4 frames at 8 fps, 0.5 s, h264, no sound\n");
});

test("checkpoints: names that differ in numbers make one row; metadata steer no terminal", async () => {
  const path = join(folder, "made.safetensors");
  const tensors = {
    "blocks.0.norm.weight": zeros([8]),
    "blocks.1.norm.weight": zeros([8]),
    "blocks.3.norm.weight": zeros([8]),
    "blocks.3.norm.bias": zeros([8], "float16"),
    head: zeros([2, 3]),
  };
  await writeSafetensors(path, tensors, { by: "head\u001B[31m" });
  const text = await inspect(path);
  expect(text).toMatch(/^checkpoint, 5 tensors, 38 parameters, float16 \+ float32, 136 B\n/);
  expect(text).toContain("blocks.{0-1,3}.norm.weight x 3 float32 [8]\n");
  expect(text).toContain("blocks.3.norm.bias float16 [8]\n");
  expect(text).toContain("head float32 [2, 3]\n");
  expect(text).toContain("by head\\u{1b}[31m\n");
});

test("model folders", async () => {
  const text = await inspect(inputs.model);
  expect(text).toContain('model folder "tiny"\n');
  expect(text).toContain("made for 32x48 at 8 fps, segments of 9 frames\n");
  expect(text).toMatch(/dit\.safetensors \d+ tensors, .* parameters, float32, .*KiB\n/);
});

test("work directories: settings, steps, and files that were cut", async () => {
  const path = join(folder, "work");
  const work = await WorkDirectory.open(path, { seed: "7" });
  for (const id of ["first", "second"]) {
    const run = async ([file]: readonly string[]) => writeFile(file!, "0123456789");
    await work.step({ id, files: [`${id}.bin`], run });
  }
  await work.close();
  await truncate(join(path, "second.bin"), 5);
  const text = await inspect(path);
  expect(text).toContain("work directory\n seed 7\n2 finished steps\n");
  expect(text).toMatch(/first 10 B 0\.\d s\n/);
  expect(text).toMatch(/second 10 B 0\.\d s damaged: will be done again\n/);
});

test("anything else is refused", async () => {
  const empty = join(folder, "empty");
  await mkdir(empty);
  expect((await runHere(["inspect", empty])).stderr).toMatch(
    /^error: .* holds nothing known; expected a model folder/,
  );
});
