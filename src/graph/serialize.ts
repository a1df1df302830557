import { type DType, type Tensor } from "../tensor/tensor.ts";
import { ONNX_DTYPE } from "./elementwise.ts";
import { type Attribute, type Graph, type Node, type Value } from "./graph.ts";
import { ATTRIBUTE_TYPE, EXTERNAL, ModelFormat } from "./onnx-format.ts";

/** Opset 21 has every standard op we use and is old enough for every device's kernels. */
const OPSET = 21;
/** The first opset that has BitCast, which only graphs with fed bfloat16 weights contain. */
const BIT_CAST_OPSET = 26;
const IR_VERSION = 10;

/** Bytes of a parameter inside a file that lies in (or is linked from) the model's folder. */
export interface ExternalData {
  /** Path relative to the folder given to the session. */
  readonly location: string;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/**
 * Encodes a graph as an ONNX file. Parameters found in `external` become initializers that point into a
 * weight file; all others become graph inputs named by their checkpoint key.
 */
export function serialize(graph: Graph, external: ReadonlyMap<string, ExternalData> = new Map()): Uint8Array {
  const params = [...graph.params.values()];
  const hasBitCast = graph.nodes.some(({ op }) => op === "BitCast");
  const model = {
    ir_version: IR_VERSION,
    producer_name: "posegen",
    opset_import: [
      { domain: "", version: hasBitCast ? BIT_CAST_OPSET : OPSET },
      { domain: "com.microsoft", version: 1 },
    ],
    graph: {
      name: "posegen",
      node: [...graph.nodes.map(encodeNode), ...[...graph.outputs].map(encodeOutput)],
      initializer: [
        ...[...graph.constants].map(([name, data]) => encodeConstant(name, data)),
        ...params.flatMap((param) => {
          const data = external.get(param.name);
          return data ? [encodeExternal(param, data)] : [];
        }),
      ],
      input: [...graph.inputs.values(), ...params.filter((param) => !external.has(param.name))].map((value) =>
        encodeType(value.name, value.shape, value.dtype, graph.freeAxes.get(value.name)),
      ),
      output: [...graph.outputs].map(([name, value]) => encodeType(name, value.shape, value.dtype)),
    },
  };
  return ModelFormat.encode(ModelFormat.create(model)).finish();
}

function encodeNode(node: Node): object {
  return {
    op_type: node.op,
    domain: node.domain,
    name: node.outputs[0]?.name,
    input: node.inputs.map((value) => value?.name ?? ""),
    output: node.outputs.map((value) => value.name),
    attribute: Object.entries(node.attributes).map(([name, value]) => encodeAttribute(name, value)),
  };
}

/** Outputs carry public names, so each is an Identity of the value behind it. */
function encodeOutput([name, value]: [string, Value]): object {
  return { op_type: "Identity", name: `output:${name}`, input: [value.name], output: [name] };
}

function encodeAttribute(name: string, value: Attribute): object {
  if (typeof value === "number") return { name, type: ATTRIBUTE_TYPE.int, i: value };
  if (typeof value === "string") return { name, type: ATTRIBUTE_TYPE.string, s: Buffer.from(value) };
  if ("float" in value) return { name, type: ATTRIBUTE_TYPE.float, f: value.float };
  return { name, type: ATTRIBUTE_TYPE.ints, ints: value };
}

function encodeConstant(name: string, { dtype, shape, data }: Tensor): object {
  const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, dims: shape, data_type: ONNX_DTYPE[dtype], raw_data: raw };
}

function encodeExternal(param: Value, { location, byteOffset, byteLength }: ExternalData): object {
  return {
    name: param.name,
    dims: param.shape,
    data_type: ONNX_DTYPE[param.dtype],
    data_location: EXTERNAL,
    external_data: [
      { key: "location", value: location },
      { key: "offset", value: `${byteOffset}` },
      { key: "length", value: `${byteLength}` },
    ],
  };
}

function encodeType(
  name: string,
  shape: readonly number[],
  dtype: DType,
  freeAxes: Readonly<Record<number, string>> = {},
): object {
  const dim = shape.map((size, axis) =>
    freeAxes[axis] === undefined ? { dim_value: size } : { dim_param: freeAxes[axis] },
  );
  return { name, type: { tensor_type: { elem_type: ONNX_DTYPE[dtype], shape: { dim } } } };
}
