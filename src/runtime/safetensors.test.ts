import { mkdtemp, readFile, readdir, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { float32, tensor } from "../tensor/tensor.ts";
import { openSafetensors } from "./safetensors.ts";

let folder: string;
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "safetensors-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function write(bytes: Uint8Array): Promise<string> {
  const path = join(folder, `${count++}.safetensors`);
  await writeFile(path, bytes);
  return path;
}

/** A file from a header text (or bytes) and a number of data bytes 0, 1, 2, ... */
async function fileOf(header: string | Uint8Array, dataBytes: number): Promise<string> {
  const json = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(json.byteLength), true);
  return write(Buffer.concat([length, json, Uint8Array.from({ length: dataBytes }, (_, i) => i)]));
}

const F32 = (begin: number, end: number): string =>
  `{"dtype":"F32","shape":[${(end - begin) / 4}],"data_offsets":[${begin},${end}]}`;

describe("openSafetensors", () => {
  it("reads entries, metadata and each tensor's own bytes", async () => {
    const path = await fileOf(
      `{"__metadata__":{"format":"pt"},"b":{"dtype":"I16","shape":[2,1],"data_offsets":[4,8]},` +
        `"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"none":{"dtype":"F32","shape":[0,3],"data_offsets":[8,8]},` +
        `"scalar":{"dtype":"I8","shape":[],"data_offsets":[8,9]}}  `,
      9,
    );
    const file = await openSafetensors(path);
    expect([...file.tensors.keys()]).toEqual(["b", "a", "none", "scalar"]);
    expect([...file.metadata]).toEqual([["format", "pt"]]);
    const size = (await readFile(path)).byteLength;
    expect(file.tensors.get("b")).toEqual({
      dtype: "int16",
      shape: [2, 1],
      file: path,
      byteOffset: size - 5,
      byteLength: 4,
    });
    expect(await file.readTensor("b")).toEqual(tensor("int16", [2, 1], Int16Array.of(0x0504, 0x0706)));
    expect(await file.readTensor("a")).toEqual(tensor("uint8", [4], Uint8Array.of(0, 1, 2, 3)));
    expect(await file.readTensor("none")).toEqual(float32([], [0, 3]));
    expect(await file.readTensor("scalar")).toEqual(tensor("int8", [], Int8Array.of(8)));
  });

  it("reads every supported type", async () => {
    for (const [name, bytes] of Object.entries({
      F64: 8,
      F32: 4,
      F16: 2,
      BF16: 2,
      I64: 8,
      I32: 4,
      I16: 2,
      U16: 2,
      I8: 1,
      U8: 1,
      BOOL: 1,
    })) {
      const file = await openSafetensors(
        await fileOf(`{"x":{"dtype":"${name}","shape":[2],"data_offsets":[0,${2 * bytes}]}}`, 2 * bytes),
      );
      expect((await file.readTensor("x")).data.byteLength, name).toBe(2 * bytes);
    }
  });

  it("upcasts 16-bit floats and refuses other types as float32", async () => {
    const file = await openSafetensors(
      await fileOf(
        `{"h":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[2,4]},` +
          `"d":{"dtype":"F64","shape":[1],"data_offsets":[4,12]}}`,
        12,
      ),
    );
    expect((await file.readFloat32("h")).data[0]).toBe(256 * 2 ** -24);
    expect((await file.readFloat32("b")).data[0]).toBe(
      new Float32Array(Uint32Array.of(0x03020000).buffer)[0],
    );
    await expect(file.readFloat32("d")).rejects.toThrow(/"d" has elements of type float64; expected float32/);
  });

  it("refuses unknown names, changed files and bytes that are no booleans", async () => {
    const path = await fileOf(`{"x":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}}`, 3);
    const file = await openSafetensors(path);
    await expect(file.readTensor("y")).rejects.toThrow(/has no tensor "y"/);
    await expect(file.readTensor("x")).rejects.toThrow(/BOOL but holds bytes other than 0 and 1/);
    await utimes(path, 1, 1);
    await expect(file.readTensor("x")).rejects.toThrow(/has changed since it was opened/);
    await truncate(path, 20);
    await expect(file.readTensor("x")).rejects.toThrow(/has changed/);
  });

  it("refuses what is not a file", async () => {
    await expect(openSafetensors(join(folder, "missing"))).rejects.toThrow(UserError);
    await expect(openSafetensors(folder)).rejects.toThrow(/is not a file/);
  });

  it("refuses empty, tiny and truncated files", async () => {
    await expect(openSafetensors(await write(new Uint8Array()))).rejects.toThrow(/it is empty/);
    await expect(openSafetensors(await write(new Uint8Array(7)))).rejects.toThrow(/only 7 bytes/);
    await expect(openSafetensors(await write(Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0, 123)))).rejects.toThrow(
      /truncated inside its header/,
    );
  });

  it("refuses a header above the cap before it reads it", async () => {
    await expect(openSafetensors(await write(Uint8Array.of(1, 225, 245, 5, 0, 0, 0, 0)))).rejects.toThrow(
      /header of 100000001 bytes; at most 100000000/,
    );
    await expect(openSafetensors(await write(new Uint8Array(8).fill(255)))).rejects.toThrow(
      /at most 100000000/,
    );
  });

  const malformed: [what: string, header: string | Uint8Array, dataBytes: number, message: RegExp][] = [
    ["an empty header", "", 0, /does not begin with "\{"/],
    ["an array", "[]", 0, /does not begin/],
    ["leading blanks", ` {}`, 0, /does not begin/],
    ["a byte order mark", "\uFEFF{}", 0, /does not begin/],
    ["invalid UTF-8", Uint8Array.of(0x7b, 0xff, 0x7d), 0, /cannot be read/],
    ["broken JSON", `{"x":`, 0, /cannot be read/],
    ["line breaks where a message repeats them", '{"x":\n\n?}', 0, /cannot be read/],
    [
      "a name of two lines",
      '{"a\\nb":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
      1,
      /names a tensor "a\\nb"/,
    ],
    ["a name that steers a terminal", '{"\\u001b[2J":1}', 0, /tensor "\\u001b\[2J" is not described/],
    ["values without end", `{"x":[${"0,".repeat(1 << 22)}0]}`, 0, /more than 4194304 values/],
    ["an open string", `{"x`, 0, /a string is not closed/],
    ["text behind the JSON", `{} {}`, 0, /cannot be read/],
    ["deep nesting", `{"x":${"[".repeat(1000)}${"]".repeat(1000)}}`, 0, /deeper than 3 levels/],
    ["a name twice", `{"x":${F32(0, 4)},"x":${F32(0, 4)}}`, 4, /"x" occurs twice/],
    ["a name twice, once escaped", `{"x":${F32(0, 4)},"\\u0078":${F32(0, 4)}}`, 4, /"x" occurs twice/],
    [
      "a field twice",
      `{"x":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}`,
      0,
      /"dtype" occurs twice/,
    ],
    ["metadata that is no object", `{"__metadata__":[]}`, 0, /__metadata__ is not an object/],
    ["metadata that is no string", `{"__metadata__":{"a":1}}`, 0, /"a" is not a string/],
    ["an entry that is no object", `{"x":[]}`, 0, /"x" is not described by an object/],
    [
      "an unknown field",
      `{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"z":1}}`,
      0,
      /unknown field "z"/,
    ],
    ["no dtype", `{"x":{"shape":[0],"data_offsets":[0,0]}}`, 0, /has no dtype/],
    ["an unknown dtype", `{"x":{"dtype":"F33","shape":[0],"data_offsets":[0,0]}}`, 0, /unknown dtype "F33"/],
    [
      "an inherited name as dtype",
      `{"x":{"dtype":"toString","shape":[0],"data_offsets":[0,0]}}`,
      0,
      /unknown dtype/,
    ],
    [
      "an 8-bit float",
      `{"x":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}`,
      1,
      /F8_E4M3, which is not supported/,
    ],
    ["no shape", `{"x":{"dtype":"U8","data_offsets":[0,0]}}`, 0, /shape that is not a list/],
    [
      "a negative size",
      `{"x":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`,
      1,
      /shape that is not a list/,
    ],
    [
      "a fractional size",
      `{"x":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}}`,
      1,
      /shape that is not a list/,
    ],
    [
      "an unsafe size",
      `{"x":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,1]}}`,
      1,
      /not a list/,
    ],
    [
      "an overflowing shape",
      `{"x":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`,
      0,
      /impossibly large/,
    ],
    [
      "an overflow hidden by a zero",
      `{"x":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}`,
      0,
      /impossibly large/,
    ],
    ["no offsets", `{"x":{"dtype":"U8","shape":[0]}}`, 0, /data_offsets that are not two/],
    [
      "three offsets",
      `{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0,0]}}`,
      0,
      /data_offsets that are not two/,
    ],
    [
      "offsets in reverse",
      `{"x":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`,
      1,
      /ends \(0\) before it begins/,
    ],
    [
      "offsets that disagree with the shape",
      `{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}`,
      8,
      /needs 4 bytes but spans 8/,
    ],
    ["an overlap", `{"x":${F32(0, 8)},"y":${F32(4, 12)}}`, 12, /"y" overlaps/],
    ["the same bytes twice", `{"x":${F32(0, 4)},"y":${F32(0, 4)}}`, 4, /overlaps/],
    [
      "a hole",
      `{"x":${F32(0, 4)},"y":${F32(8, 12)}}`,
      12,
      /bytes 4 to 8 before tensor "y" belong to no tensor/,
    ],
    ["a hole at the front", `{"x":${F32(4, 8)}}`, 8, /bytes 0 to 4/],
    ["missing data", `{"x":${F32(0, 8)}}`, 4, /truncated: 4 bytes of tensor data, expected 8/],
    ["surplus data", `{"x":${F32(0, 4)}}`, 5, /1 bytes behind the last tensor/],
    ["data without tensors", `{}`, 1, /1 bytes behind/],
  ];
  it.each(malformed)("refuses %s", async (_what, header, dataBytes, message) => {
    const path = await fileOf(header, dataBytes);
    const [names, bytes] = [await readdir(folder), process.memoryUsage.rss()];
    const opening = openSafetensors(path);
    await expect(opening).rejects.toThrow(UserError);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toThrow(/^.{1,600}$/);
    expect(process.memoryUsage.rss() - bytes).toBeLessThan(256 * 2 ** 20);
    expect(await readdir(folder)).toEqual(names);
  });

  it("takes a tensor named like a property of every object", async () => {
    const path = await fileOf(`{"__proto__":${F32(0, 4)},"constructor":${F32(4, 8)}}`, 8);
    expect([...(await openSafetensors(path)).tensors.keys()]).toEqual(["__proto__", "constructor"]);
  });
});
