import { type Graph, type StoredDType, matrixParams, widenAtUse } from "../graph/index.ts";
import { type Checkpoint } from "../runtime/safetensors.ts";
import { TensorBuffers } from "../runtime/tensor-buffers.ts";
import { type WeightSpec, checkWeights } from "../runtime/weights.ts";
import { UserError, invariant } from "../tensor/errors.ts";
import { toFloat32 } from "../tensor/float16.ts";
import { type DType, type Tensor } from "../tensor/tensor.ts";
import { type BlockRange } from "./blockwise-graphs.ts";

/** Parameters that are not trained and stay in their files, as they are stored. */
export interface FrozenWeights {
  readonly checkpoint: Checkpoint;
  /** The checkpoint's key of a parameter of the training graph, e.g. without the denoiser's scope. */
  readonly keyOf: (key: string) => string;
}

/** The parameters of a graph that a checkpoint provides: their keys there, by their names in the graph. */
export type StoredParams = ReadonlyMap<string, string>;

/**
 * Finds the parameters of a graph that a checkpoint provides.
 * @param keyOf the training graph's key of a parameter of this graph
 * @throws UserError when the checkpoint holds one in another shape
 */
export function storedParams(
  graph: Graph,
  frozen: FrozenWeights,
  isTrainable: (key: string) => boolean,
  keyOf = (name: string) => name,
): StoredParams {
  const { checkpoint } = frozen;
  const keys = new Map<string, string>();
  const specs: WeightSpec[] = [];
  for (const { name, shape, dtype } of graph.params.values()) {
    const key = frozen.keyOf(keyOf(name));
    if (isTrainable(keyOf(name)) || !checkpoint.tensors.has(key)) continue;
    keys.set(name, key);
    specs.push({ name: key, shape, dtype });
  }
  checkWeights(specs, checkpoint, "the denoiser");
  return keys;
}

/** Makes a graph take parameters as they are stored: 16-bit matrices are widened where a run uses them, one by one. */
export function takeAsStored(graph: Graph, stored: StoredParams, { tensors }: Checkpoint): void {
  const matrices = matrixParams(graph);
  const narrow = new Map<string, StoredDType>();
  for (const name of graph.params.keys()) {
    const dtype = tensors.get(stored.get(name) ?? "")?.dtype;
    if (!matrices.has(name)) continue;
    if (dtype === "float16") narrow.set(name, dtype);
    if (dtype === "bfloat16") narrow.set(name, "uint16");
  }
  widenAtUse(graph, narrow);
}

/**
 * Checks that what two ranges store has the same types, so that one graph can take both.
 * @throws UserError naming the first tensor that differs
 */
export function checkSameTypes(a: StoredParams, b: StoredParams, { path, tensors }: Checkpoint): void {
  for (const [name, key] of a) {
    const other = b.get(name);
    const [type, otherType] = [tensors.get(key)?.dtype, other && tensors.get(other)?.dtype];
    if (type === otherType) continue;
    throw new UserError(
      `${path} holds ${key} as ${type} and the same weight of another block as ${otherType ?? "nothing"}; ` +
        "training block by block needs one type for both (convert the checkpoint)",
    );
  }
}

/** A tensor as stored, in the type that a graph takes. */
export function asFed(stored: Tensor, dtype: DType): Tensor {
  if (stored.dtype === dtype) return stored;
  if (dtype === "float32") return toFloat32(stored);
  invariant(stored.dtype === "bfloat16" && dtype === "uint16", `${stored.dtype} cannot be fed as ${dtype}`);
  return { ...stored, dtype };
}

/** Memory that one range of blocks after the other is read into, and the range that is in it or on its way. */
interface Window {
  readonly buffers: TensorBuffers;
  range: BlockRange | null;
  tensors: Promise<Record<string, Tensor>>;
}

/** Weights of ranges of blocks, of which at most two are in memory: the one in use and the one that comes next. */
export class RangeWeights {
  private inUse = 0;

  private constructor(
    private readonly windows: readonly [Window, Window],
    private readonly stored: ReadonlyMap<BlockRange, StoredParams>,
  ) {}

  static async open(
    checkpoint: Checkpoint,
    stored: ReadonlyMap<BlockRange, StoredParams>,
  ): Promise<RangeWeights> {
    const window = async (): Promise<Window> => ({
      buffers: await TensorBuffers.open(checkpoint),
      range: null,
      tensors: Promise.resolve({}),
    });
    return new RangeWeights([await window(), await window()], stored);
  }

  /**
   * A range's weights as they are stored, by their names in its graphs; valid until the next call.
   * @param next begins to be read, so that it is there when it is asked for
   */
  async take(range: BlockRange, next: BlockRange): Promise<Record<string, Tensor>> {
    if (this.windows[this.inUse]!.range !== range) this.inUse = 1 - this.inUse;
    const [current, other] = [this.windows[this.inUse]!, this.windows[1 - this.inUse]!];
    this.fill(current, range);
    const tensors = await current.tensors;
    if (next !== range) this.fill(other, next);
    return tensors;
  }

  /** Closes the files. */
  async release(): Promise<void> {
    for (const { buffers, tensors } of this.windows) {
      await tensors.catch(() => {});
      await buffers.close();
    }
  }

  private fill(window: Window, range: BlockRange): void {
    if (window.range === range) return;
    window.range = range;
    window.tensors = window.buffers.read(this.stored.get(range)!);
    // Whoever takes the range learns of a failure; a range that nobody takes any more must not end the process.
    window.tensors.catch(() => {});
  }
}
