import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { add } from "./elementwise.ts";
import { Graph } from "./graph.ts";
import { linear } from "./linear-ops.ts";
import { ModelFormat } from "./onnx-format.ts";
import { serialize } from "./serialize.ts";
import { gather } from "./shape-ops.ts";
import { type HalfDType, matrixParams, widenAtStart, widenAtUse } from "./widen-weights.ts";

const FLOAT = 1;
const BFLOAT16 = 16;

/** Looks rows up in a table, multiplies them with a matrix and adds a vector. */
function model(): Graph {
  const g = new Graph();
  const rows = gather(g.param("table", [32, 16]), g.input("ids", [4], { dtype: "int64" }));
  g.output("y", add(linear(rows, g.param("weight", [16, 16])), g.param("bias", [16])));
  return g;
}

const STORED: ReadonlyMap<string, HalfDType> = new Map([
  ["table", "bfloat16"],
  ["weight", "bfloat16"],
]);

/** Element types of the weights after the engine has prepared the graph. */
async function preparedTypes(widen: typeof widenAtUse): Promise<(number | undefined)[]> {
  const graph = model();
  widen(graph, STORED);
  const folder = await mkdtemp(join(tmpdir(), "widen-"));
  try {
    await writeFile(join(folder, "weights"), Buffer.alloc(2 * 32 * 16, 0x3f));
    const external = new Map(
      [...graph.params.values()].map(({ name, shape, dtype }) => {
        const byteLength = shape.reduce((a, b) => a * b, dtype === "bfloat16" ? 2 : 4);
        return [name, { location: "weights", byteOffset: 0, byteLength }];
      }),
    );
    const prepared = join(folder, "prepared.onnx");
    const session = await InferenceSession.create(serialize(graph, external), {
      optimizedModelFilePath: prepared,
      graphOptimizationLevel: "extended",
      extra: { session: { model_external_initializers_file_folder_path: folder } },
    });
    await session.release();
    const file = ModelFormat.toObject(ModelFormat.decode(await readFile(prepared)));
    const initializers = file["graph"].initializer as { dims?: number[]; data_type: number }[];
    const typeOf = (rows: number) =>
      initializers.find(({ dims = [] }) => dims.length === 2 && Number(dims[0]) === rows)?.data_type;
    return [typeOf(32), typeOf(16)];
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe("weights stored in 16 bits", () => {
  it("are found where a graph multiplies with them or looks them up", () => {
    expect([...matrixParams(model())]).toEqual(["table", "weight"]);
    const g = model();
    g.output("raw", g.params.get("weight")!);
    expect([...matrixParams(g)]).toEqual(["table"]);
  });

  it("stay in 16 bits until a run uses them", async () => {
    expect(await preparedTypes(widenAtUse)).toEqual([BFLOAT16, BFLOAT16]);
  });

  it("are widened once for devices with memory of their own", async () => {
    expect(await preparedTypes(widenAtStart)).toEqual([FLOAT, FLOAT]);
  });
});
