import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Layout,
  LAYOUTS,
  publishedWeights,
  writePublishedModel,
} from "../../diffusion/layouts/testing.ts";
import { LoadedModel } from "../../diffusion/loaded-model.ts";
import { MODEL_FILES, openModelFolder } from "../../diffusion/model-folder.ts";
import { networkSpecs } from "../../diffusion/network-specs.ts";
import { writeTinyModel } from "../../diffusion/testing.ts";
import { mergeLoras } from "../../models/layers/lora-merge.ts";
import { openLora } from "../../diffusion/lora-file.ts";
import { openSafetensors } from "../../runtime/safetensors.ts";
import { writeSafetensors } from "../../runtime/safetensors-writer.ts";
import { roundToBfloat16 } from "../../tensor/float16.ts";
import { Random } from "../../tensor/random.ts";
import { float32, sizeOf, type Tensor } from "../../tensor/tensor.ts";
import { runHere } from "../cli/testing.ts";
import { describeChecks } from "./verify-model.ts";

let folder: string;
const weights = publishedWeights();
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "convert-model-"));
  for (const layout of LAYOUTS) await writePublishedModel(at(layout), layout, weights);
  await writeLora("style.safetensors", "style");
});
afterAll(() => rm(folder, { recursive: true }));

/** A LoRA that changes a matrix of the base by a pair, and a layer that the phases hold whole. */
async function writeLora(name: string, seed: string): Promise<void> {
  const random = new Random(seed);
  const { shape } = weights.phase1["patch_embedding.weight"]!;
  const [out, width] = weights.dit["blocks.1.ffn.0.weight"]!.shape as [number, number];
  const normals = (...size: number[]) => float32(random.fork(`${size}`).normals(sizeOf(size)), size);
  await writeSafetensors(at(name), {
    "diffusion_model.blocks.1.ffn.0.lora_down.weight": normals(3, width),
    "diffusion_model.blocks.1.ffn.0.lora_up.weight": normals(out, 3),
    "diffusion_model.blocks.1.ffn.0.alpha": float32([6], []),
    "diffusion_model.patch_embedding.weight": normals(...shape),
  });
}

/** Quicker than a comparison element by element. */
function expectSame(got: Tensor, expected: Tensor, key: string): void {
  expect([got.dtype, got.shape], key).toEqual([expected.dtype, expected.shape]);
  const [a, b] = [got, expected].map(({ data }) =>
    Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  );
  expect(Buffer.compare(a!, b!), key).toBe(0);
}

async function convert(...args: string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await runHere(["models", "convert", ...args]);
  expect(stderr).not.toMatch(/error/);
  expect(exitCode).toBe(0);
  return stdout;
}

describe.each(LAYOUTS)("a model of the layout %s", (layout: Layout) => {
  it("becomes a folder of the same tensors, which is whole", async () => {
    const out = at(`tidy-${layout}`);
    const text = await convert(at(layout), "--out", out);
    expect(text).toContain(`Use it with --model ${out}`);
    expect((await readdir(out)).sort()).toEqual(
      ["model.json", "tokenizer.json", ...Object.values(MODEL_FILES)].sort(),
    );
    const [before, after] = [await openModelFolder(at(layout)), await openModelFolder(out)];
    expect(after.description).toEqual(before.description);
    for (const [network, specs] of Object.entries(networkSpecs(before.description))) {
      const part = network as "dit";
      const [source, written] = [await before.open(part), await after.open(part)];
      const keys = specs.map(({ name }) => name).filter((key) => source.tensors.has(key));
      expect([...written.tensors.keys()].sort()).toEqual(keys.sort());
      for (const key of keys)
        expect(await written.readTensor(key), key).toEqual(await source.readTensor(key));
    }
    for (const phase of ["phase1", "phase2"] as const) {
      const [source, written] = [await before.openPhase(phase), await after.openPhase(phase)];
      const [expected, got] = [await source.readStored(), await written.readStored()];
      expect([...got.pairs.keys()].sort()).toEqual([...expected.pairs.keys()].sort());
      expect([...got.whole.keys()].sort()).toEqual([...expected.whole.keys()].sort());
      for (const [key, { a, b, scale }] of expected.pairs) {
        const pair = got.pairs.get(key)!;
        expect(pair.scale).toBe(scale);
        expectSame(pair.a, a, key);
        expectSame(pair.b, b, key);
      }
      for (const [key, tensor] of expected.whole) expectSame(got.whole.get(key)!, tensor, key);
    }
    expect((await describeChecks(out)).isWhole).toBe(true);
  });
});

describe("posegen models convert", () => {
  it("stores matrices in 16 bits, rounded, and leaves vectors as they are", async () => {
    const out = at("bf16");
    await convert(at("original"), "--out", out, "--precision", "bf16");
    const model = await openModelFolder(out);
    const dit = await model.open("dit");
    for (const [key, { dtype, shape }] of dit.tensors) {
      expect(dtype, key).toBe(shape.length > 1 ? "bfloat16" : "float32");
      const { data } = weights.dit[key]!;
      const expected = shape.length > 1 ? roundToBfloat16(data) : data;
      expectSame(await dit.readFloat32(key), float32(expected, shape), key);
    }
    expect((await model.openPhase("phase2")).pairs.get("blocks.0.ffn.2.weight")!.a.dtype).toBe("bfloat16");
    expect((await describeChecks(out)).isWhole).toBe(true);
    // And back: everything is float32 again.
    await convert(out, "--out", at("f32"), "--precision", "f32");
    const back = await (await openModelFolder(at("f32"))).open("textEncoder");
    expect(new Set([...back.tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(["float32"]));
  });

  it("keeps LoRAs beside the model, with their scales and weights", async () => {
    const out = at("kept");
    await convert(at("diffusers"), "--out", out, "--lora", `${at("style.safetensors")}:0.5`);
    const { loras, description } = await openModelFolder(out);
    expect(description.loras).toEqual([{ file: "lora-1.safetensors", weight: 0.5 }]);
    const [kept, given] = [await openLora(loras[0]!.path), await openLora(at("style.safetensors"))];
    expect(await kept.readFloat32()).toEqual(await given.readFloat32());
    await (await LoadedModel.open(out, { device: "cpu", threads: 1 })).release();
  });

  it("merges LoRAs into the base and into what phases hold whole: the model's own, then those named", async () => {
    const style = at("style.safetensors");
    await writeLora("film.safetensors", "film");
    await convert(at("diffusers"), "--out", at("own-lora"), "--lora", `${style}:0.5`);
    await convert(at("own-lora"), "--out", at("merged"), "--lora", at("film.safetensors"), "--merge");
    const [before, after] = [await openModelFolder(at("own-lora")), await openModelFolder(at("merged"))];
    expect(after.loras).toEqual([]);
    const stack = [
      { lora: await (await openLora(style)).readFloat32(), weight: 0.5 },
      { lora: await (await openLora(at("film.safetensors"))).readFloat32(), weight: 1 },
    ];
    const key = "blocks.1.ffn.0.weight";
    const merged = await (await after.open("dit")).readFloat32(key);
    expect(merged).toEqual(mergeLoras(key, weights.dit[key]!, stack));
    expect(merged.data).not.toEqual(weights.dit[key]!.data);
    const untouched = "blocks.0.ffn.0.weight";
    expect(await (await after.open("dit")).readFloat32(untouched)).toEqual(weights.dit[untouched]);
    const [own, phase] = await Promise.all(
      [before, after].map(async (model) => (await model.openPhase("phase2")).readFloat32()),
    );
    expect(phase!.pairs).toEqual(own!.pairs);
    const patch = "patch_embedding.weight";
    expect(phase!.whole.get(patch)).toEqual(mergeLoras(patch, own!.whole.get(patch)!, stack));
    expect(phase!.whole.get("ref_patch_embedding.weight")).toEqual(
      own!.whole.get("ref_patch_embedding.weight"),
    );
  });

  it("says in one line what cannot be done, and leaves nothing behind", async () => {
    const tiny = await writeTinyModel(at("tiny"));
    const before = await openSafetensors(join(tiny, MODEL_FILES.dit));
    const tensors = Object.fromEntries(
      await Promise.all([...before.tensors.keys()].map(async (key) => [key, await before.readFloat32(key)])),
    ) as Record<string, ReturnType<typeof float32>>;
    const key = "head.head.weight";
    const large = {
      ...tensors,
      [key]: float32(
        tensors[key]!.data.map(() => 1e5),
        tensors[key]!.shape,
      ),
    };
    await writeSafetensors(join(tiny, MODEL_FILES.dit), large);
    const incomplete = await writePublishedModel(at("incomplete"), "original", weights);
    await rm(join(incomplete, "Wan2.1_VAE.pth"));
    await writeFile(at("a-file"), "");
    const out = ["--out", at("new")];
    const names = await readdir(folder);
    const refused: [string[], RegExp][] = [
      [
        [tiny, ...out, "--precision", "f16"],
        /"head\.head\.weight" holds 1\.00e\+5, too large for float16; take bf16/,
      ],
      [[tiny, ...out, "--precision", "int3"], /precision: got "int3"; expected f32, f16, bf16/],
      [[tiny, ...out, "--merge"], /there is no LoRA to merge; name one with --lora/],
      [[tiny, ...out, "--lora", at("none")], /cannot open .*none/],
      [[tiny, ...out, "--lora", at("style.safetensors")], /style\.safetensors changes ".*" as \[/],
      [[tiny, "--out", at("original")], /original is there already and is not an empty folder/],
      [[tiny, "--out", at("a-file")], /a-file is there already/],
      [[incomplete, ...out], /lacks the VAE \(Wan2\.1_VAE\.pth from Wan-AI/],
      [[at("nowhere"), ...out], /nowhere is not a model folder/],
    ];
    for (const [args, message] of refused) {
      const { exitCode, stderr, stdout } = await runHere(["models", "convert", ...args]);
      expect(stderr).toMatch(message);
      expect(
        stderr
          .trim()
          .split("\n")
          .filter((line) => line.startsWith("error")),
      ).toHaveLength(1);
      expect([stdout, exitCode]).toEqual(["", 1]);
      expect(await readdir(folder)).toEqual(names);
    }
    await writeFile(
      join(tiny, MODEL_FILES.vae),
      (await readFile(join(tiny, MODEL_FILES.dit))).subarray(0, 4096),
    );
    const { stderr } = await runHere(["models", "convert", tiny, ...out]);
    expect(stderr).toMatch(/^error: .*is not whole: VAE: .*; posegen models verify lists them\n$/);
  });
});
