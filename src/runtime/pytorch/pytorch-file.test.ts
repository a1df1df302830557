import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { float32, int64, tensor } from "../../tensor/tensor.ts";
import { openPyTorchFile } from "./pytorch-file.ts";
import { OPCODES as OP } from "./pickle-opcodes.ts";
import { bytesOf, pickled, pickledTensor, torchEntries, torchFile, torchZip, zipOf } from "./testing.ts";

const FIXTURES = join(import.meta.dirname, "fixtures");

let folder: string;
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pytorch-file-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function write(bytes: Uint8Array): Promise<string> {
  const path = join(folder, `${count++}.pth`);
  await writeFile(path, bytes);
  return path;
}

const FLOATS = new Uint8Array(Float32Array.of(0, 1, 2, 3, 4, 5).buffer);

describe("files that PyTorch wrote", () => {
  const HALVES = new Set(["a.bias", "half"]);

  it.each(["zip.pth", "legacy.bin"])("%s has the tensors that PyTorch had", async (name) => {
    const values = JSON.parse(await readFile(join(FIXTURES, "values.json"), "utf8")) as Record<
      string,
      number[]
    >;
    const file = await openPyTorchFile(join(FIXTURES, name));
    for (const [key, expected] of Object.entries(values)) {
      const { data } = HALVES.has(key) ? await file.readFloat32(key) : await file.readTensor(key);
      expect(Array.from(data, Number), key).toEqual(expected);
    }
    const shapes = { t: [4, 3], v1: [3], v2: [4], e: [0, 3], s: [], p: [2] };
    for (const [key, shape] of Object.entries(shapes))
      expect(file.tensors.get(key)!.shape, key).toEqual(shape);
    expect(file.tensors.get("a.bias")!.dtype).toBe("bfloat16");
    expect(file.tensors.get("t")!.strides).toEqual([1, 4]);
    expect(file.tensors.get("v1")!.strides).toBeUndefined();
  });

  it("names nested tensors by the way to them", async () => {
    const { tensors } = await openPyTorchFile(join(FIXTURES, "optim.ckpt"));
    expect([...tensors.keys()]).toEqual([
      ...[0, 1].flatMap((i) => ["step", "exp_avg", "exp_avg_sq"].map((name) => `o.state.${i}.${name}`)),
      "m.weight",
      "m.bias",
    ]);
  });

  it("refuses a whole module, by name", async () => {
    await expect(openPyTorchFile(join(FIXTURES, "module.pth"))).rejects.toThrow(
      /asks for the Python object "torch.nn.modules.linear.Linear"/,
    );
  });
});

describe("openPyTorchFile", () => {
  it.each(["zip", "legacy"] as const)("reads every element type of the %s format", async (format) => {
    const tensors = {
      f64: tensor("float64", [2], Float64Array.of(1, -2)),
      f32: float32([1, 2, 3, 4], [2, 2]),
      f16: tensor("float16", [1], Uint16Array.of(0x3c00)),
      bf16: tensor("bfloat16", [1], Uint16Array.of(0x3f80)),
      i64: int64([7, -7]),
      i32: tensor("int32", [1], Int32Array.of(-7)),
      i16: tensor("int16", [1], Int16Array.of(-7)),
      i8: tensor("int8", [1], Int8Array.of(-7)),
      u8: tensor("uint8", [1], Uint8Array.of(200)),
      bool: tensor("bool", [2], Uint8Array.of(1, 0)),
      none: float32([], [0, 2]),
    };
    const file = await openPyTorchFile(await write(torchFile(tensors, format)));
    for (const [name, expected] of Object.entries(tensors))
      expect(await file.readTensor(name)).toEqual(expected);
    expect((await file.readFloat32("bf16")).data).toEqual(Float32Array.of(1));
  });

  it("reads views of a shared storage: offsets, strides, an axis of one with any stride", async () => {
    const pickle = pickled.whole(
      pickled.dict([
        ["row", pickledTensor({ count: 6, offset: 3, shape: [3] })],
        ["columns", pickledTensor({ count: 6, shape: [3, 2], strides: [1, 3] })],
        ["one", pickledTensor({ count: 6, offset: 5, shape: [1, 1], strides: [0, 77] })],
      ]),
    );
    const file = await openPyTorchFile(await write(torchZip(pickle, { 0: FLOATS })));
    expect((await file.readFloat32("row")).data).toEqual(Float32Array.of(3, 4, 5));
    expect((await file.readFloat32("columns")).data).toEqual(Float32Array.of(0, 3, 1, 4, 2, 5));
    expect((await file.readFloat32("one")).data).toEqual(Float32Array.of(5));
  });

  it("takes later protocols, texts of one byte's length, attributes of dictionaries, and plain values", async () => {
    const short = (text: string): Uint8Array => bytesOf(OP.SHORT_BINUNICODE, text.length, text);
    const extras = pickled.dict([
      ["size", pickled.call(pickled.global("torch", "Size"), pickled.sizes([1, 2]))],
      ["device", pickled.call(pickled.global("torch", "device"), pickled.text("cuda"), pickled.int(0))],
      ["dtype", pickled.global("torch", "bfloat16")],
      ["large", bytesOf(OP.LONG1, 9, Buffer.alloc(9, 1))],
      ["rate", bytesOf(OP.BINFLOAT, Buffer.alloc(8))],
    ]);
    const pickle = bytesOf(
      OP.PROTO,
      4,
      OP.FRAME,
      Buffer.alloc(8),
      short("collections"),
      OP.MEMOIZE,
      short("OrderedDict"),
      OP.STACK_GLOBAL,
      OP.EMPTY_TUPLE,
      OP.REDUCE,
      OP.MEMOIZE,
      short("w"),
      pickledTensor(),
      OP.SETITEM,
      pickled.text("extras"),
      extras,
      OP.SETITEM,
      pickled.dict([["_metadata", pickled.orderedDict()]]),
      OP.BUILD,
      OP.STOP,
    );
    const { tensors } = await openPyTorchFile(await write(torchZip(pickle, { 0: FLOATS.subarray(0, 16) })));
    expect([...tensors.keys()]).toEqual(["w"]);
  });

  it("takes archives without 64-bit records, and with 64-bit numbers where 32 bits are too few", async () => {
    const storage = FLOATS.subarray(0, 16);
    const pickle = pickled.whole(pickled.dict([["w", pickledTensor()]]));
    const plain = await openPyTorchFile(await write(torchZip(pickle, { 0: storage }, {})));
    expect((await plain.readFloat32("w")).data).toEqual(Float32Array.of(0, 1, 2, 3));

    const entries = torchEntries(pickle, { 0: storage }).map((entry) =>
      entry.name.endsWith("/0")
        ? {
            ...entry,
            byteLength: 0xffffffff,
            extra: bytesOf(1, 0, 16, 0, 16, Buffer.alloc(7), 16, Buffer.alloc(7)),
          }
        : entry,
    );
    const long = await openPyTorchFile(await write(zipOf(entries, { end64: "true" })));
    expect((await long.readFloat32("w")).data).toEqual(Float32Array.of(0, 1, 2, 3));
  });

  it("reads nothing but the directory and the pickle when it opens", async () => {
    const path = await write(torchFile({ w: float32(new Float32Array(1 << 22)) }));
    const before = process.memoryUsage().arrayBuffers;
    const file = await openPyTorchFile(path);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
    expect(file.tensors.get("w")!.byteOffset % 64).toBe(0);
  });
});
