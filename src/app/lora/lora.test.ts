import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FinetunedWeights } from "../../diffusion/finetuned-weights.ts";
import { openLora } from "../../diffusion/lora-file.ts";
import { TINY_MODEL, writeTinyModel } from "../../diffusion/testing.ts";
import { LORA_NAMINGS } from "../../models/layers/lora-naming.ts";
import { buildWanDiT } from "../../models/wan-dit/build.ts";
import { Lane } from "../../runtime/lane.ts";
import { openSafetensors } from "../../runtime/safetensors.ts";
import { writeSafetensors } from "../../runtime/safetensors-writer.ts";
import { Random } from "../../tensor/random.ts";
import { float32, sizeOf, zeros } from "../../tensor/tensor.ts";
import { runHere } from "../cli/testing.ts";

let folder: string;
let lane: Lane;
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-lora-commands-"));
  await writeTinyModel(folder);
  lane = new Lane();
});
afterAll(async () => {
  await lane.close();
  await rm(folder, { recursive: true, force: true });
});

async function posegen(...args: string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await runHere(["lora", ...args]);
  expect(stderr).toBe("");
  expect(exitCode).toBe(0);
  return stdout;
}

/** One line on stderr, exit code 1, and the folder as it was. */
async function expectRefusal(args: readonly string[], message: RegExp): Promise<void> {
  const before = await readdir(folder);
  const { exitCode, stdout, stderr } = await runHere(["lora", ...args]);
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^error: .+\n$/);
  expect(stdout).toBe("");
  expect(exitCode).toBe(1);
  expect(await readdir(folder)).toEqual(before);
}

test("inspect tells naming, layers, ranks, scales and whole weights", async () => {
  const text = (await posegen("inspect", at("phase1.safetensors"))).replaceAll(/ +/g, " ");
  expect(text).toMatch(
    /^LoRA, names as in posegen, 20 pairs and 8 whole weights, 9312 parameters, 36.4 KiB\n/,
  );
  expect(text).toContain(" blocks.{0-1}.self_attn.q.weight x 2 [24, 24] float32 rank 2, scale 1\n");
  expect(text).toContain(" blocks.{0-1}.ffn.0.weight x 2 [48, 24] float32 rank 2, scale 1\n");
  expect(text).toMatch(/ patch_embedding\.weight \[24, 36, 1, 2, 2\] float32 whole\n/);
});

test("convert goes through every naming and ends with the tensors it began with", async () => {
  let path = at("phase1.safetensors");
  for (const naming of [...Object.keys(LORA_NAMINGS), "posegen"]) {
    const out = at(`as-${naming}-${path.length}`);
    expect(await posegen("convert", path, "--to", naming, "--out", out)).toBe(`${out}\n`);
    expect(await posegen("inspect", out)).toContain(`names as in ${naming},`);
    path = out;
  }
  const [before, after] = await Promise.all(
    [at("phase1.safetensors"), path].map(async (name) => {
      const file = await openSafetensors(name);
      const tensors = [...file.tensors.keys()].map(async (key) => [key, await file.readTensor(key)] as const);
      return Object.fromEntries(await Promise.all(tensors));
    }),
  );
  expect(after).toEqual(before);
});

const shape = { latentFrames: 2, latentHeight: 4, latentWidth: 4, textTokens: 4, imageTokens: 5 };
const graph = () => buildWanDiT(TINY_MODEL.dit, shape);
const inputs = Object.fromEntries(
  [...graph().inputs].map(([name, { shape: size }]) => [
    name,
    float32(new Random(name).normals(sizeOf(size)), size),
  ]),
);

/** The denoiser's output with LoRAs over a base: merged when opened, or as pairs beside the weights. */
async function velocity(
  base: string,
  loras: readonly (readonly [name: string, weight: number])[],
  how: "merged" | "beside",
): Promise<Float32Array> {
  const applied = await Promise.all(
    loras.map(async ([name, weight]) => ({ file: await openLora(at(name)), weight })),
  );
  const weights = await FinetunedWeights.open(
    await openSafetensors(at(base)),
    { phase1: applied, phase2: [] },
    graph().params.values(),
    { lane, ...(how === "beside" && { mapBeyondBytes: 0 }) },
  );
  await weights.use("phase1");
  const session = await weights.session(graph(), "denoiser", { device: "cpu", threads: 1 });
  const result = (await session.run(inputs))["velocity"]!.data as Float32Array;
  await session.release();
  await weights.release();
  return result;
}

const difference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((max, x, i) => Math.max(max, Math.abs(x - b[i]!)), 0);

test("merge makes weights that give what the LoRAs give, to 1e-5", async () => {
  const out = at("merged.safetensors");
  const loras = [at("phase1.safetensors"), `${at("phase2.safetensors")}:0.25`];
  expect(await posegen("merge", ...loras, "--base", at("dit.safetensors"), "--out", out)).toBe(`${out}\n`);
  const stack = [
    ["phase1.safetensors", 1],
    ["phase2.safetensors", 0.25],
  ] as const;
  const alone = await velocity("merged.safetensors", [], "merged");
  expect(difference(alone, await velocity("dit.safetensors", stack, "beside"))).toBeLessThan(1e-5);
  expect(await velocity("dit.safetensors", stack, "merged")).toEqual(alone);
  expect(difference(alone, await velocity("dit.safetensors", [], "merged"))).toBeGreaterThan(0.1);
});

test("merge keeps the base's types, or takes the one asked for, and adds layers that are new", async () => {
  const base = await openSafetensors(at("dit.safetensors"));
  const kept = [...base.tensors.keys()].filter((key) => !key.startsWith("ref_patch_embedding"));
  const older = Object.fromEntries(
    await Promise.all(kept.map(async (key) => [key, await base.readTensor(key)])),
  );
  await writeSafetensors(at("older.safetensors"), older, { note: "kept" });
  const out = at("half.safetensors");
  const args = [at("phase1.safetensors"), "--base", at("older.safetensors"), "--out", out];
  await posegen("merge", ...args, "--dtype", "float16");
  const merged = await openSafetensors(out);
  expect([...merged.tensors.keys()].sort()).toEqual([...base.tensors.keys()].sort());
  expect(new Set([...merged.tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(["float16"]));
  expect(merged.metadata.get("note")).toBe("kept");
  await posegen("merge", ...args);
  expect((await openSafetensors(out)).tensors.get("head.head.weight")!.dtype).toBe("float32");
});

test("what cannot be done is said in one line, and nothing is left behind", async () => {
  await writeSafetensors(at("half-a-pair.safetensors"), { "blocks.0.ffn.0.lora_A.weight": zeros([2, 24]) });
  await writeSafetensors(at("other.safetensors"), {
    "blocks.9.ffn.0.lora_A.weight": zeros([2, 24]),
    "blocks.9.ffn.0.lora_B.weight": zeros([48, 2]),
  });
  const [lora, base] = [at("phase1.safetensors"), at("dit.safetensors")];
  const out = ["--out", at("out.safetensors")];
  await expectRefusal(["inspect", at("none")], /cannot open .*none/);
  await expectRefusal(["inspect", at("model.json")], /model\.json is not a valid safetensors file/);
  await expectRefusal(
    ["inspect", at("half-a-pair.safetensors")],
    /half-a-pair.safetensors has lora_A but no lora_B/,
  );
  await expectRefusal(
    ["convert", lora, "--to", "klingon", ...out],
    /got "klingon"; expected one of posegen, /,
  );
  await expectRefusal(["convert", lora, "--to", "kohya", "--out", lora], /is an input; choose another name/);
  await expectRefusal(
    ["convert", lora, "--to", "peft", "--out", folder],
    /there already and is not an empty folder/,
  );
  await expectRefusal(["convert", lora, "--to", "kohya", "--out", at("no/where")], /cannot write .*ENOENT/);
  await expectRefusal(
    ["merge", at("other.safetensors"), "--base", base, ...out],
    /"blocks.9.ffn.0.weight", which .* does not have; it may belong to another model/,
  );
  await expectRefusal(["merge", lora, "--base", base, "--out", base], /is an input; choose another name/);
  await expectRefusal(["merge", `${lora}:1000`, "--base", base, ...out], /expected FILE or FILE:WEIGHT/);
  await expectRefusal(
    ["merge", lora, "--base", base, ...out, "--dtype", "int4"],
    /got "int4"; expected float32/,
  );
  expect((await readFile(base)).length).toBeGreaterThan(0);
});
