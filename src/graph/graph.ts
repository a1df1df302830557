import { invariant } from "../tensor/errors.ts";
import { type DType, type Tensor, sizeOf, tensor } from "../tensor/tensor.ts";

/** An ONNX attribute. Plain numbers are ints; floats are tagged, because `1` could be either. */
export type Attribute = number | readonly number[] | string | { readonly float: number };

export interface ValueType {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** One operation. `domain` is "" for the ONNX standard, "com.microsoft" for ONNX Runtime's own operators. */
export interface Node {
  readonly op: string;
  readonly domain: string;
  /** `null` marks an omitted optional input. */
  readonly inputs: readonly (Value | null)[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A typed edge of the graph: the output of a node, an input, a parameter or a constant. */
export class Value implements ValueType {
  constructor(
    readonly graph: Graph,
    readonly name: string,
    readonly shape: readonly number[],
    readonly dtype: DType,
    /** The node that computes this value; null for inputs, parameters and constants. */
    readonly producer: Node | null,
  ) {}

  get rank(): number {
    return this.shape.length;
  }

  /** Size of an axis; negative axes count from the end. Throws when the axis does not exist. */
  dim(axis: number): number {
    const size = this.shape[axis < 0 ? axis + this.rank : axis];
    if (size === undefined) throw new Error(`axis ${axis} of a value of shape [${this.shape.join(", ")}]`);
    return size;
  }
}

export interface EmitOptions {
  readonly domain?: string;
  readonly attributes?: Record<string, Attribute>;
}

export interface InputOptions {
  readonly dtype?: DType;
  /**
   * Axes whose true size is only known when the graph runs, e.g. `{ 1: "backgroundKeys" }`.
   * The given shape is then an upper bound; only attention keys and values may have such axes.
   */
  readonly freeAxes?: Readonly<Record<number, string>>;
}

/**
 * A static-shape ONNX graph under construction. Every op checks shapes and element types as it is added,
 * so a wrong graph fails at the line that builds it.
 */
export class Graph {
  readonly nodes: Node[] = [];
  readonly inputs = new Map<string, Value>();
  readonly freeAxes = new Map<string, Readonly<Record<number, string>>>();
  /** Parameters by checkpoint key. */
  readonly params = new Map<string, Value>();
  readonly constants = new Map<string, Tensor>();
  readonly outputs = new Map<string, Value>();
  private readonly values = new Map<string, Value>();
  private readonly constantNames = new Map<string, Value>();
  private nextId = 0;

  /** @param dtype element type of parameters and of float constants: float64 for gradient checks, else float32. */
  constructor(readonly dtype: "float32" | "float64" = "float32") {}

  /** Declares a graph input that must be fed at every run. */
  input(name: string, shape: readonly number[], options: InputOptions = {}): Value {
    const value = this.declare(name, shape, options.dtype ?? this.dtype, null);
    this.inputs.set(name, value);
    if (options.freeAxes) this.freeAxes.set(name, options.freeAxes);
    return value;
  }

  /** Declares a parameter, or returns the one of that key: asking twice shares the weight. */
  param(key: string, shape: readonly number[], dtype: DType = this.dtype): Value {
    const known = this.params.get(key);
    if (known) {
      invariant(
        known.dtype === dtype && sameShape(known.shape, shape),
        `parameter ${key} is [${known.shape.join(", ")}], asked for as [${shape.join(", ")}]`,
      );
      return known;
    }
    const value = this.declare(key, shape, dtype, null);
    this.params.set(key, value);
    return value;
  }

  /** Embeds a constant; small equal constants are stored once. */
  constant(data: Tensor): Value {
    const small = data.data.length <= 64;
    const id = small ? `${data.dtype}[${data.shape.join(",")}]${data.data.join(",")}` : "";
    const known = small ? this.constantNames.get(id) : undefined;
    if (known) return known;
    const name = this.freshName("const");
    const value = this.declare(name, data.shape, data.dtype, null);
    this.constants.set(name, data);
    if (small) this.constantNames.set(id, value);
    return value;
  }

  /** A scalar constant of the graph's float type, or of `dtype`. */
  scalar(x: number, dtype: DType = this.dtype): Value {
    switch (dtype) {
      case "float32":
        return this.constant(tensor("float32", [], Float32Array.of(x)));
      case "float64":
        return this.constant(tensor("float64", [], Float64Array.of(x)));
      case "int64":
        return this.constant(tensor("int64", [], BigInt64Array.of(BigInt(x))));
      case "int32":
        return this.constant(tensor("int32", [], Int32Array.of(x)));
      default:
        throw new Error(`no scalar constants of type ${dtype}`);
    }
  }

  /** Marks a value as an output under a public name. */
  output(name: string, value: Value): void {
    invariant(!this.outputs.has(name), `output ${name} is declared twice`);
    invariant(value.graph === this, `output ${name} belongs to another graph`);
    this.outputs.set(name, value);
  }

  /** Appends a node and returns its outputs. Called by the op functions, which infer `types`. */
  emit(
    op: string,
    inputs: readonly (Value | null)[],
    types: readonly ValueType[],
    options: EmitOptions = {},
  ): Value[] {
    for (const input of inputs) {
      invariant(input === null || input.graph === this, `an input of ${op} belongs to another graph`);
    }
    const outputs: Value[] = [];
    const node: Node = {
      op,
      domain: options.domain ?? "",
      inputs,
      outputs,
      attributes: options.attributes ?? {},
    };
    for (const type of types) outputs.push(this.declare(this.freshName(op), type.shape, type.dtype, node));
    this.nodes.push(node);
    return outputs;
  }

  /** The scope of parameters whose keys start with `path`. */
  scope(path = ""): Scope {
    return new Scope(this, path);
  }

  private declare(name: string, shape: readonly number[], dtype: DType, producer: Node | null): Value {
    invariant(!this.values.has(name), `two values are named ${name}`);
    invariant(
      shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0),
      `${name} would have shape [${shape.join(", ")}]`,
    );
    const value = new Value(this, name, [...shape], dtype, producer);
    this.values.set(name, value);
    return value;
  }

  private freshName(stem: string): string {
    return `${stem}_${this.nextId++}`;
  }
}

/** A position in the checkpoint's key tree: `scope.in("self_attn").param("q.weight", …)`. */
export class Scope {
  constructor(
    readonly graph: Graph,
    readonly path: string,
  ) {}

  in(name: string | number): Scope {
    return new Scope(this.graph, this.path === "" ? `${name}` : `${this.path}.${name}`);
  }

  param(name: string, shape: readonly number[], dtype?: DType): Value {
    return this.graph.param(this.path === "" ? name : `${this.path}.${name}`, shape, dtype);
  }
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** Number of elements of a value. */
export function numElements(value: ValueType): number {
  return sizeOf(value.shape);
}
