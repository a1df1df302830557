import { type Graph, type Value } from "../../graph/index.ts";
import { UserError, invariant } from "../../tensor/errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { broadcastConstant } from "./layout.ts";
import type { TfliteModel, TfliteOperator, TfliteTensor } from "./model-file.ts";
import { floatWeights, integers } from "./weights.ts";

/** One TFLite operation about to be added to a graph: its operands by their place in its input list. */
export class Operation {
  constructor(
    readonly graph: Graph,
    private readonly model: TfliteModel,
    private readonly operator: TfliteOperator,
    /** What has been computed so far, by tensor index, in the graph's channels-first layout. */
    private readonly computed: ReadonlyMap<number, Value>,
    /** Constants behind tensors that only widen or unpack another one. */
    private readonly origins: ReadonlyMap<number, number>,
  ) {}

  get numInputs(): number {
    return this.operator.inputs.length;
  }

  /** Shape of the first output, in TFLite's layout. */
  get outputShape(): readonly number[] {
    const output = this.operator.outputs[0];
    return output === undefined ? [] : this.model.tensors[output]!.shape;
  }

  /** A computed value. */
  value(place = 0): Value {
    const value = this.computed.get(this.index(place));
    if (!value) throw new UserError(`input ${place} must be a computed value`);
    return value;
  }

  /** A computed value, or a constant laid out to broadcast against computed values of the given rank. */
  operand(place: number, rank: number): Value {
    const value = this.computed.get(this.index(place));
    if (!value) return this.graph.constant(broadcastConstant(this.weights(place), rank));
    if (value.rank === rank) return value;
    throw new UserError(`values of rank ${value.rank} and ${rank} are mixed`);
  }

  /** A constant of the given rank, in TFLite's layout. */
  weights(place: number, rank?: number): Tensor<"float32"> {
    const weights = floatWeights(this.constant(place));
    if (rank === undefined || weights.shape.length === rank) return weights;
    throw new UserError(`weights have shape [${weights.shape.join(", ")}]; expected ${rank} axes`);
  }

  /** A vector of one bias per output channel, or null. */
  bias(place: number): Value | null {
    const given = place < this.numInputs && this.operator.inputs[place] !== -1;
    return given ? this.graph.constant(this.weights(place, 1)) : null;
  }

  integers(place: number): number[] {
    return integers(this.constant(place));
  }

  intOption(field: number, fallback = 0): number {
    return this.operator.options?.int32(field, fallback) ?? fallback;
  }

  /** A small enumeration or a flag. */
  byteOption(field: number): number {
    return this.operator.options?.uint8(field) ?? 0;
  }

  private constant(place: number): TfliteTensor {
    const index = this.index(place);
    const tensor = this.model.tensors[this.origins.get(index) ?? index];
    invariant(tensor, `no tensor ${index}`);
    if (tensor.bytes.length === 0) {
      throw new UserError(`input ${place} must be a constant`);
    }
    return tensor;
  }

  private index(place: number): number {
    const index = this.operator.inputs[place];
    if (index === undefined || index < 0) {
      throw new UserError(`input ${place} is missing`);
    }
    return index;
  }
}
