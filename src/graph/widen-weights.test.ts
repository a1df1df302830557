import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float32ToBfloat16, roundToBfloat16 } from "../tensor/float16.ts";
import { type Tensor, int64, tensor } from "../tensor/tensor.ts";
import { add } from "./elementwise.ts";
import { Graph } from "./graph.ts";
import { linear } from "./linear-ops.ts";
import { ModelFormat } from "./onnx-format.ts";
import { serialize } from "./serialize.ts";
import { gather } from "./shape-ops.ts";
import { evaluate, sampleTensor } from "./testing.ts";
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
async function preparedTypes(
  widen: (graph: Graph, stored: ReadonlyMap<string, HalfDType>) => void,
): Promise<(number | undefined)[]> {
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

  it("are fed as the bits of bfloat16", async () => {
    const [plain, fed] = [model(), model()];
    widenAtUse(
      fed,
      new Map([
        ["table", "uint16"],
        ["weight", "uint16"],
      ]),
    );
    const sample = (shape: number[], seed: number) =>
      sampleTensor(shape, seed, { dtype: "float32" }) as Tensor<"float32">;
    const [table, weight] = [sample([32, 16], 1), sample([16, 16], 2)];
    const rest = { bias: sample([16], 3), ids: int64([3, 0, 31, 3]) };
    const round = (x: Tensor<"float32">): Tensor => ({ ...x, data: roundToBfloat16(x.data) });
    const bits = (x: Tensor<"float32">): Tensor => tensor("uint16", x.shape, float32ToBfloat16(x.data));
    const rounded = { ...rest, table: round(table), weight: round(weight) };
    const narrow = { ...rest, table: bits(table), weight: bits(weight) };
    expect(await evaluate(fed, narrow)).toEqual(await evaluate(plain, rounded));
  });

  it("are widened once for devices with memory of their own", async () => {
    expect(await preparedTypes(widenAtStart)).toEqual([FLOAT, FLOAT]);
  });
});
