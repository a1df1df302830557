import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Graph, add, gather, linear, mul, serialize } from "../graph/index.ts";
import { UserError } from "../tensor/errors.ts";
import { float32ToBfloat16 } from "../tensor/float16.ts";
import { type Tensor, float32, int64, tensor } from "../tensor/tensor.ts";
import { Engine } from "./engine.ts";
import { locateWeights } from "./external-weights.ts";
import { Lane } from "./lane.ts";
import { openSafetensors } from "./safetensors.ts";
import { SharedWeights } from "./shared-weights.ts";
import { checkWeights, loadWeights } from "./weights.ts";

const FORMAT_NAMES: Partial<Record<Tensor["dtype"], string>> = {
  float32: "F32",
  bfloat16: "BF16",
  uint8: "U8",
};

/** Writes a safetensors file whose data begins with one byte, so that every other tensor is unaligned. */
async function writeUnaligned(path: string, tensors: Record<string, Tensor>): Promise<void> {
  const all = { odd: tensor("uint8", [1], Uint8Array.of(7)), ...tensors };
  let end = 0;
  const header = Object.entries(all).map(([name, { dtype, shape, data }]) => {
    const data_offsets = [end, (end += data.byteLength)];
    return [name, { dtype: FORMAT_NAMES[dtype], shape, data_offsets }];
  });
  let json = JSON.stringify(Object.fromEntries(header));
  json += " ".repeat(8 - (json.length % 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const bytes = Object.values(all).map(
    ({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  );
  await writeFile(path, Buffer.concat([length, Buffer.from(json), ...bytes]));
}

/** Small whole numbers: exact in bfloat16, and so are their products in float32. */
function numbers(shape: readonly number[], start: number): Tensor<"float32"> {
  const size = shape.reduce((a, b) => a * b, 1);
  return float32(
    Array.from({ length: size }, (_, i) => ((start + 7 * i) % 13) - 6),
    shape,
  );
}

const half = ({ shape, data }: Tensor<"float32">): Tensor =>
  tensor("bfloat16", shape, float32ToBfloat16(data));

const table = numbers([5, 4], 0);
const weight = numbers([3, 4], 1);
const bias = numbers([3], 2);
const scale = numbers([3], 3);

/** (table[ids] W^T + b) * scale + delta: a lookup, a matrix, two vectors, and a weight that is no part of the file. */
function model(): Graph {
  const g = new Graph();
  const rows = gather(g.param("table", [5, 4]), g.input("ids", [2], { dtype: "int64" }));
  const y = linear(rows, g.param("weight", [3, 4]), g.param("bias", [3]));
  g.output("y", add(mul(y, g.param("scale", [3])), g.param("delta", [3])));
  return g;
}

const ids = int64([4, 1]);
function expected(delta: readonly number[]): number[] {
  return [4, 1].flatMap((id) =>
    [0, 1, 2].map((n) => {
      const dot = [0, 1, 2, 3].reduce((sum, k) => sum + table.data[4 * id + k]! * weight.data[4 * n + k]!, 0);
      return (dot + bias.data[n]!) * scale.data[n]! + delta[n]!;
    }),
  );
}

let folder: string;
let path: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "weights-"));
  path = join(folder, "model.safetensors");
  await writeUnaligned(path, { table: half(table), weight: half(weight), bias: half(bias), scale });
});
afterAll(() => rm(folder, { recursive: true }));

describe("checkWeights", () => {
  const spec = (name: string, shape: number[], dtype: Tensor["dtype"] = "float32") => ({
    name,
    shape,
    dtype,
  });

  it("accepts weights that fit, in 16 bits too", async () => {
    const checkpoint = await openSafetensors(path);
    checkWeights([spec("table", [5, 4]), spec("scale", [3])], checkpoint, "the test");
  });

  it("names missing, mis-shaped and mistyped tensors in one message", async () => {
    const checkpoint = await openSafetensors(path);
    const specs = [
      spec("table", [5, 5]),
      spec("blocks.0.weight", [2, 2]),
      spec("odd", [1]),
      spec("bias", [3]),
    ];
    expect(() => checkWeights(specs, checkpoint, "the test")).toThrow(
      new UserError(
        `${path} does not fit the test: 3 of 4 tensors are wrong\n` +
          `  "table" has shape [5, 4], expected [5, 5]\n` +
          `  "blocks.0.weight" is missing, expected [2, 2]\n` +
          `  "odd" has type uint8, expected float32 or float16 or bfloat16\n` +
          `It may belong to another model or another size of this one.`,
      ),
    );
  });

  it("names five and counts the rest", async () => {
    const checkpoint = await openSafetensors(path);
    const specs = Array.from({ length: 8 }, (_, i) => spec(`blocks.${i}.weight`, [1]));
    const check = () => checkWeights(specs, checkpoint, "the test");
    expect(check).toThrow("8 of 8 tensors are wrong");
    expect(check).toThrow('"blocks.4.weight" is missing, expected [1]\n  and 3 more');
  });
});

describe("loadWeights", () => {
  it("reads what a graph needs and widens 16-bit floats", async () => {
    const graph = model();
    graph.params.delete("delta");
    const weights = await loadWeights(graph.params.values(), await openSafetensors(path), "the test");
    expect(weights).toEqual({ table, weight, bias, scale });
  });
});

describe("locateWeights", () => {
  it("lets the engine map an unaligned tensor through a link", async () => {
    const link = join(folder, "link.safetensors");
    await symlink(path, link);
    const checkpoint = await openSafetensors(link);
    const entry = checkpoint.tensors.get("scale")!;
    expect(entry.byteOffset % 4).not.toBe(0);
    const { locations, externalFolder } = await locateWeights(new Map([["scale", entry]]));
    const g = new Graph();
    g.output("y", add(g.param("scale", [3]), g.input("x", [3])));
    const engine = await Engine.create(serialize(g, locations), { externalFolder });
    const { y } = await engine.run({ x: float32([10, 20, 30]) });
    expect([...y!.data]).toEqual([...scale.data].map((s, i) => s + 10 * (i + 1)));
    await engine.release();
  });
});

describe.each([
  ["held in the lane", 2 ** 31],
  ["mapped from their file", 0],
])("SharedWeights %s", (_, mapBeyondBytes) => {
  it("serves several sessions and swaps the weights that were set", async () => {
    const lane = new Lane();
    const weights = new SharedWeights(lane, await openSafetensors(path), {
      model: "the test",
      mapBeyondBytes,
    });
    await expect(weights.session(model())).rejects.toThrow('"delta" is missing');

    await weights.set({ delta: float32([100, 200, 300]) });
    const [first, second] = await Promise.all([weights.session(model()), weights.session(model())]);
    for (const session of [first, second]) {
      expect([...(await session.run({ ids })).y!.data]).toEqual(expected([100, 200, 300]));
    }
    const inputs = first.inputs.map(({ name }) => name);
    expect(inputs).toEqual(
      mapBeyondBytes > 0 ? ["ids", "table", "weight", "bias", "scale", "delta"] : ["ids", "bias", "delta"],
    );

    await weights.set({ delta: float32([-1, -2, -3]) });
    for (const session of [first, second]) {
      expect([...(await session.run({ ids })).y!.data]).toEqual(expected([-1, -2, -3]));
    }
    await expect(weights.set({ delta: float32([1]) })).rejects.toThrow("delta is held as [3], not as [1]");

    await weights.release();
    await expect(first.run({ ids })).rejects.toThrow("is empty");
    await lane.close();
  });
});
