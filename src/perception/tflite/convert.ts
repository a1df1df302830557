import { Graph, type Value, prune, sameShape, verify } from "../../graph/index.ts";
import { UserError } from "../../tensor/errors.ts";
import { channelsFirstShape } from "./layout.ts";
import { type TfliteModel, type TfliteOperator, readTflite } from "./model-file.ts";
import { Operation } from "./operation.ts";
import { CONSTANT_OPERATORS, OPERATORS } from "./operators.ts";

/**
 * Bump it with every change that alters a converted graph: converted models are cached under it.
 */
export const CONVERTER_VERSION = 1;

export interface ConversionOptions {
  /** For messages. */
  readonly name: string;
  /** Wanted outputs: the graph's name for each, and its name in the file. What they do not need is left out. */
  readonly outputs: Readonly<Record<string, string>>;
}

/**
 * Converts a TFLite model with one input into a graph with the input `image` and the given outputs. Values of rank
 * 4 are [N, C, H, W] instead of TFLite's [N, H, W, C], the input and outputs included; others are unchanged.
 * Weights (float32, float16 or sparse) become float32 constants.
 * @throws UserError for a damaged file and for operators or options beyond those of the packaged models
 */
export function convertTflite(file: Uint8Array, { name, outputs }: ConversionOptions): Graph {
  const model = readTflite(file, name);
  const graph = new Graph();
  const computed = new Map<number, Value>();
  const [input, ...rest] = model.inputs;
  if (input === undefined || rest.length > 0) {
    throw new UserError(`${name} has ${model.inputs.length} inputs; expected 1`);
  }
  computed.set(input, graph.input("image", channelsFirstShape(model.tensors[input]!.shape)));
  addOperators(graph, model, computed, name);
  for (const [publicName, fileName] of Object.entries(outputs)) {
    const index = model.outputs.find((tensor) => model.tensors[tensor]!.name === fileName);
    const value = index === undefined ? undefined : computed.get(index);
    if (!value) throw new UserError(`${name} computes no output "${fileName}"`);
    graph.output(publicName, value);
  }
  prune(graph);
  verify(graph);
  return graph;
}

function addOperators(graph: Graph, model: TfliteModel, computed: Map<number, Value>, name: string): void {
  const origins = new Map<number, number>();
  for (const operator of model.operators) {
    const [source] = operator.inputs;
    const [target] = operator.outputs;
    if (source === undefined || target === undefined) {
      throw new UserError(`${name} is damaged: operator ${operator.code} has no input or no output`);
    }
    if (CONSTANT_OPERATORS.has(operator.code)) {
      origins.set(target, origins.get(source) ?? source);
      continue;
    }
    computed.set(target, addOperator(graph, model, operator, computed, origins, name));
  }
}

function addOperator(
  graph: Graph,
  model: TfliteModel,
  operator: TfliteOperator,
  computed: ReadonlyMap<number, Value>,
  origins: ReadonlyMap<number, number>,
  name: string,
): Value {
  try {
    const lower = OPERATORS.get(operator.code);
    if (!lower) throw new UserError("it is not among the known operators");
    const operation = new Operation(graph, model, operator, computed, origins);
    const value = lower(operation);
    const expected = channelsFirstShape(operation.outputShape);
    if (sameShape(value.shape, expected)) return value;
    throw new UserError(`it gives [${value.shape.join(", ")}] instead of [${expected.join(", ")}]`);
  } catch (cause) {
    // Shapes that contradict each other surface as faults of the graph, but it is the file that is wrong.
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UserError(`${name} cannot be converted, operator ${operator.code}: ${reason}`, { cause });
  }
}
