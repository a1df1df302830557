import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { serialize } from "../../graph/index.ts";
import { Engine } from "../../runtime/engine.ts";
import { UserError } from "../../tensor/errors.ts";
import { float32ToFloat16 } from "../../tensor/float16.ts";
import { float32, sizeOf } from "../../tensor/tensor.ts";
import { CONVERTER_VERSION, convertTflite } from "./convert.ts";
import { type TestModel, type TestOperator, type TestTensor, writeTflite } from "./testing.ts";

/** Distinct values with signs. */
const ramp = (shape: readonly number[], seed = 1): Float32Array =>
  Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(seed * 1.7 + i * 0.93));

/** Element of a channels-last picture [1, H, W, C], zero outside. */
function pixel(data: Float32Array, [, h, w, c]: readonly number[], y: number, x: number, k: number): number {
  return y < 0 || x < 0 || y >= h! || x >= w! ? 0 : data[(y * w! + x) * c! + k]!;
}

const toChannelsFirst = (data: Float32Array, shape: readonly number[]): Float32Array => {
  const [, h, w, c] = shape as [number, number, number, number];
  return Float32Array.from({ length: data.length }, (_, i) => {
    const [k, at] = [Math.floor(i / (h * w)), i % (h * w)];
    return data[at * c + k]!;
  });
};

const toChannelsLast = (data: Float32Array, [, c, h, w]: readonly number[]): Float32Array =>
  Float32Array.from({ length: data.length }, (_, i) => data[(i % c!) * h! * w! + Math.floor(i / c!)]!);

/** Converts and runs a model on a channels-last input; gives the channels-last output. */
async function run(model: TestModel, x: Float32Array): Promise<Float32Array> {
  const graph = convertTflite(writeTflite(model), { name: "test", outputs: { y: `t${model.output}` } });
  const engine = await Engine.create(serialize(graph));
  const shape = model.tensors[model.input ?? 0]!.shape;
  const image = float32(shape.length === 4 ? toChannelsFirst(x, shape) : x, graph.inputs.get("image")!.shape);
  const { y } = await engine.run({ image });
  await engine.release();
  const data = y!.data as Float32Array;
  return y!.shape.length === 4 ? toChannelsLast(data, y!.shape) : data;
}

/** A model of one operation: input tensor 0, constants from tensor 1 on, the output last. */
function single(
  code: number,
  input: readonly number[],
  constants: readonly TestTensor[],
  output: readonly number[],
  options: NonNullable<TestOperator["options"]> = [],
): TestModel {
  const last = constants.length + 1;
  return {
    tensors: [{ shape: input }, ...constants, { shape: output }],
    operators: [{ code, inputs: Array.from({ length: last }, (_, i) => i), outputs: [last], options }],
    output: last,
  };
}

const constant = (shape: readonly number[], seed: number): TestTensor => ({
  shape,
  values: ramp(shape, seed),
});
const intConstant = (shape: readonly number[], values: readonly number[]): TestTensor => ({
  shape,
  type: 2,
  values: Int32Array.from(values),
});

describe("convertTflite", () => {
  it.each([
    { name: "SAME with stride 2 pads only behind on even sizes", size: 4, padding: 0, before: 0, out: 2 },
    { name: "SAME with stride 2 pads on both sides on odd sizes", size: 5, padding: 0, before: 1, out: 3 },
    { name: "VALID with stride 2", size: 5, padding: 1, before: 0, out: 2 },
  ])("convolution, $name", async ({ size, padding, before, out }) => {
    const shape = [1, size, size, 2];
    const [x, w, bias] = [ramp(shape), constant([3, 3, 3, 2], 2), constant([3], 3)];
    const options = [
      { field: 0, byte: padding },
      { field: 1, int: 2 },
      { field: 2, int: 2 },
      { field: 3, byte: 1 },
    ];
    const y = await run(single(3, shape, [w, bias], [1, out, out, 3], options), x);
    for (let oy = 0; oy < out; oy++)
      for (let ox = 0; ox < out; ox++)
        for (let o = 0; o < 3; o++) {
          let sum = bias.values![o]!;
          for (let ky = 0; ky < 3; ky++)
            for (let kx = 0; kx < 3; kx++)
              for (let c = 0; c < 2; c++) {
                const weight = w.values![((o * 3 + ky) * 3 + kx) * 2 + c]!;
                sum += weight * pixel(x, shape, 2 * oy + ky - before, 2 * ox + kx - before, c);
              }
          expect(y[(oy * out + ox) * 3 + o]).toBeCloseTo(Math.max(0, sum), 5);
        }
  });

  it("depthwise convolution with a channel multiplier and ReLU6", async () => {
    const shape = [1, 3, 4, 2];
    const [x, w, bias] = [ramp(shape), constant([1, 3, 3, 4], 2), constant([4], 9)];
    const options = [
      { field: 0, byte: 0 },
      { field: 1, int: 1 },
      { field: 2, int: 1 },
      { field: 3, int: 2 },
      { field: 4, byte: 3 },
    ];
    const y = await run(single(4, shape, [w, bias], [1, 3, 4, 4], options), x);
    for (let oy = 0; oy < 3; oy++)
      for (let ox = 0; ox < 4; ox++)
        for (let o = 0; o < 4; o++) {
          let sum = bias.values![o]!;
          for (let ky = 0; ky < 3; ky++)
            for (let kx = 0; kx < 3; kx++) {
              const weight = w.values![(ky * 3 + kx) * 4 + o]!;
              sum += weight * pixel(x, shape, oy + ky - 1, ox + kx - 1, Math.floor(o / 2));
            }
          expect(y[(oy * 4 + ox) * 4 + o]).toBeCloseTo(Math.min(6, Math.max(0, sum)), 5);
        }
  });

  it("fully connected layer after a picture flattens channels last", async () => {
    const shape = [1, 2, 2, 3];
    const [x, w, bias] = [ramp(shape), constant([2, 12], 2), constant([2], 3)];
    const y = await run(single(9, shape, [w, bias], [1, 2]), x);
    for (let o = 0; o < 2; o++) {
      const sum = x.reduce((total, value, i) => total + value * w.values![o * 12 + i]!, bias.values![o]!);
      expect(y[o]).toBeCloseTo(sum, 5);
    }
  });

  it("reshape keeps the channels-last order", async () => {
    const shape = [1, 2, 3, 4];
    const x = ramp(shape);
    const flat = await run(single(22, shape, [intConstant([3], [1, 12, 2])], [1, 12, 2]), x);
    expect(flat).toEqual(x);
    const picture = await run(single(22, [1, 24], [intConstant([4], shape)], shape), x);
    expect(picture).toEqual(x);
  });

  it("PReLU, addition and multiplication broadcast over channels", async () => {
    const shape = [1, 2, 2, 3];
    const x = ramp(shape);
    const slope = constant([1, 1, 3], 4);
    const perChannel = (f: (value: number, c: number) => number): Float32Array =>
      x.map((value, i) => f(value, slope.values![i % 3]!));
    expect(await run(single(54, shape, [slope], shape), x)).toEqual(
      perChannel((value, c) => (value < 0 ? value * c : value)),
    );
    expect(await run(single(0, shape, [slope], shape), x)).toEqual(perChannel((value, c) => value + c));
    const flatSlope = { ...slope, shape: [3] };
    expect(await run(single(18, shape, [flatSlope], shape), x)).toEqual(perChannel((value, c) => value * c));
  });

  it("bilinear resize with half-pixel centres", async () => {
    const x = Float32Array.of(0, 10, 20, 30, 40, 50);
    const options = [{ field: 3, byte: 1 }];
    const y = await run(single(23, [1, 2, 3, 1], [intConstant([2], [4, 3])], [1, 4, 3, 1], options), x);
    expect([...y]).toEqual([0, 10, 20, 7.5, 17.5, 27.5, 22.5, 32.5, 42.5, 30, 40, 50]);
  });

  it("max pooling, padding of channels, mean, concatenation and depth to space", async () => {
    const shape = [1, 2, 2, 4];
    const x = ramp(shape);
    const at = (y: number, column: number, c: number): number => pixel(x, shape, y, column, c);
    const pooled = await run(
      single(
        17,
        shape,
        [],
        [1, 1, 1, 4],
        [1, 2, 3, 4].map((field) => ({ field, int: 2 })),
      ),
      x,
    );
    const mean = await run(single(40, shape, [intConstant([2], [1, 2])], [1, 4]), x);
    for (let c = 0; c < 4; c++) {
      const column = [at(0, 0, c), at(0, 1, c), at(1, 0, c), at(1, 1, c)];
      expect(pooled[c]).toBe(Math.max(...column));
      expect(mean[c]).toBeCloseTo(column.reduce((a, b) => a + b) / 4, 6);
    }
    const paddings = intConstant([4, 2], [0, 0, 0, 0, 0, 0, 0, 1]);
    const padded = await run(single(34, shape, [paddings], [1, 2, 2, 5]), x);
    expect([...padded.subarray(0, 6)]).toEqual([...x.subarray(0, 4), 0, x[4]]);
    const blocks = await run(single(5, shape, [], [1, 4, 4, 1], [{ field: 0, int: 2 }]), x);
    expect([...blocks.subarray(0, 5)]).toEqual([
      at(0, 0, 0),
      at(0, 0, 1),
      at(0, 1, 0),
      at(0, 1, 1),
      at(0, 0, 2),
    ]);
    const joined: TestModel = {
      tensors: [{ shape }, { shape: [1, 2, 2, 8] }],
      operators: [{ code: 2, inputs: [0, 0], outputs: [1], options: [{ field: 0, int: 3 }] }],
      output: 1,
    };
    expect([...(await run(joined, x)).subarray(0, 8)]).toEqual([...x.subarray(0, 4), ...x.subarray(0, 4)]);
  });

  it("widens float16 weights and unpacks sparse ones", async () => {
    // A 4x4 matrix in 2x2 blocks: rows of blocks dense, columns compressed; blocks (0, 1) and (1, 0) are stored.
    const values = float32ToFloat16(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    const sparse: TestTensor = {
      shape: [4, 4],
      type: 1,
      values,
      sparsity: {
        traversal: [0, 1, 2, 3],
        blockMap: [0, 1],
        levels: [2, { segments: [0, 1, 2], indices: [1, 0], bits: 8 }, 2, 2],
      },
    };
    const model: TestModel = {
      tensors: [{ shape: [1, 4] }, sparse, { shape: [4, 4], type: 1 }, { shape: [4, 4] }, { shape: [1, 4] }],
      operators: [
        { code: 124, inputs: [1], outputs: [2] },
        { code: 6, inputs: [2], outputs: [3] },
        { code: 9, inputs: [0, 3, -1], outputs: [4] },
      ],
      output: 4,
    };
    const rows = [];
    for (let i = 0; i < 4; i++)
      rows.push([
        ...(await run(
          model,
          Float32Array.from([0, 1, 2, 3], (k) => Number(k === i)),
        )),
      ]);
    expect(rows).toEqual([
      [0, 0, 5, 7],
      [0, 0, 6, 8],
      [1, 3, 0, 0],
      [2, 4, 0, 0],
    ]);
  });

  it("reads compressed levels of every integer width", async () => {
    const results = [];
    for (const bits of [8, 16, 32] as const) {
      const levels = [3, { segments: [0, 1, 1, 3], indices: [1, 0, 1], bits }];
      const sparsity = { traversal: [0, 1], blockMap: [], levels };
      const weights = { shape: [3, 2], values: Float32Array.of(7, 8, 9), sparsity };
      results.push([...(await run(single(9, [1, 2], [weights], [1, 3]), Float32Array.of(1, 10)))]);
    }
    expect(results).toEqual(Array.from({ length: 3 }, () => [70, 0, 98]));
  });

  it("gives the graph that this converter version is known for", () => {
    const shape = [1, 4, 4, 2];
    const options = [1, 2].map((field) => ({ field, int: 2 }));
    const model = single(3, shape, [constant([3, 3, 3, 2], 2), constant([3], 3)], [1, 2, 2, 3], options);
    const graph = convertTflite(writeTflite(model), { name: "test", outputs: { y: "t3" } });
    const digest = createHash("sha256").update(serialize(graph)).digest("hex").slice(0, 16);
    // A change here means that cached models are outdated: raise CONVERTER_VERSION.
    expect({ version: CONVERTER_VERSION, digest }).toMatchInlineSnapshot(`
      {
        "digest": "2389e5101f79a060",
        "version": 1,
      }
    `);
  });
});

describe("convertTflite on bad files", () => {
  const shape = [1, 4, 4, 2];
  const options = [1, 2].map((field) => ({ field, int: 1 }));
  const good = single(3, shape, [constant([3, 3, 3, 2], 2), constant([3], 3)], [1, 4, 4, 3], options);
  const convert = (file: Uint8Array) => convertTflite(file, { name: "a model", outputs: { y: "t3" } });

  it("names an operator that is not known", () => {
    const model = { ...good, operators: [{ ...good.operators[0]!, code: 45 }] };
    expect(() => convert(writeTflite(model))).toThrow(/a model cannot be converted, operator 45/);
  });

  it("names shapes that contradict each other", () => {
    const tensors = good.tensors.with(3, { shape: [1, 4, 4, 5] });
    expect(() => convert(writeTflite({ ...good, tensors }))).toThrow(
      /\[1, 3, 4, 4\] instead of \[1, 5, 4, 4\]/,
    );
  });

  it("refuses other versions, missing outputs and files of another kind", () => {
    expect(() => convert(writeTflite({ ...good, version: 4 }))).toThrow(/schema version 4; expected 3/);
    expect(() => convert(writeTflite({ ...good, output: 0 }))).toThrow(/computes no output "t3"/);
    expect(() => convert(new Uint8Array(100))).toThrow(UserError);
    expect(() => convert(new Uint8Array(0))).toThrow(UserError);
  });

  it("refuses a file cut anywhere, and survives any damaged byte", () => {
    const file = writeTflite(good);
    for (let length = 0; length < file.length; length += 3) {
      expect(() => convert(file.slice(0, length))).toThrow(UserError);
    }
    for (let i = 0; i < file.length; i++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const damaged = file.slice();
        damaged[i]! ^= flip;
        try {
          convert(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }
    }
  });
});
