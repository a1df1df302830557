/** A graph in ONNX Runtime, in the thread that calls it: a run blocks that thread. */
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { UserError } from "../tensor/errors.ts";
import type { DType, Tensor } from "../tensor/tensor.ts";
import { DEVICES } from "./device-table.ts";
import type { Feeds, RunOptions, Runner, RunnerOptions, Slot, ValueInfo } from "./runner.ts";

/** The slots of one thread, by their number. */
export type SlotMemory = Map<number, OrtTensor>;

/**
 * Runs a graph in the calling thread, without copying feeds. For threads of their own, such as training;
 * elsewhere use a Session, which keeps the event loop free.
 */
export class Engine implements Runner {
  private readonly bound = new Map<string, OrtTensor | Slot>();
  private readonly inputOf: ReadonlyMap<string, ValueInfo>;
  private released = false;

  private constructor(
    private readonly session: InferenceSession,
    private readonly name: string,
    private readonly slots: SlotMemory,
    readonly inputs: readonly ValueInfo[],
    readonly outputs: readonly ValueInfo[],
  ) {
    this.inputOf = new Map(inputs.map((info) => [info.name, info]));
  }

  /**
   * @param model an ONNX model
   * @param slots where slots live: engines given the same map share them
   * @throws UserError when memory does not suffice; Error when the engine refuses the model
   */
  static async create(
    model: Uint8Array,
    options: RunnerOptions = {},
    slots: SlotMemory = new Map(),
  ): Promise<Engine> {
    const name = options.name ?? "graph";
    let session: InferenceSession;
    try {
      session = await InferenceSession.create(model, sessionOptions(options));
    } catch (cause) {
      throw engineError(`cannot prepare the ${name}`, cause);
    }
    try {
      const inputs = session.inputMetadata.map(valueInfo);
      const outputs = session.outputMetadata.map(valueInfo);
      const engine = new Engine(session, name, slots, inputs, outputs);
      if (options.inputs) await engine.setInputs(options.inputs);
      return engine;
    } catch (error) {
      await session.release();
      throw error;
    }
  }

  async run(feeds: Feeds, options: RunOptions = {}): Promise<Record<string, Tensor>> {
    const { keep = {}, signal } = options;
    signal?.throwIfAborted();
    this.checkAlive();
    const kept = Object.keys(keep);
    const wanted = (options.outputs ?? this.outputs.map((info) => info.name)).filter(
      (name) => keep[name] === undefined,
    );
    const results = await this.compute(this.collect(feeds), [...wanted, ...kept]);
    for (const name of kept) this.slots.set(keep[name]!.slot, results[name] as OrtTensor);
    signal?.throwIfAborted();
    return Object.fromEntries(wanted.map((name) => [name, fromOrt(results[name] as OrtTensor)]));
  }

  async setInputs(inputs: Feeds): Promise<void> {
    this.checkAlive();
    for (const [name, value] of Object.entries(inputs)) {
      const info = this.inputNamed(name);
      this.bound.set(name, isSlot(value) ? value : this.checked(info, toOrt(value)));
    }
  }

  async release(): Promise<void> {
    if (this.released) return;
    this.released = true;
    this.bound.clear();
    await this.session.release();
  }

  /** What each input of the engine receives in this run. */
  private collect(feeds: Feeds): Record<string, OrtTensor> {
    const values: Record<string, OrtTensor> = {};
    for (const [name, value] of this.bound) {
      if (feeds[name] === undefined) values[name] = this.resolve(name, value);
    }
    for (const [name, value] of Object.entries(feeds)) {
      values[name] = this.resolve(name, isSlot(value) ? value : toOrt(value));
    }
    const missing = this.inputs.filter((info) => values[info.name] === undefined);
    if (missing.length > 0) {
      const names = missing.slice(0, 5).map((info) => `"${info.name}"`);
      throw new Error(`${this.name}: no value for ${names.join(", ")} (${missing.length} inputs missing)`);
    }
    return values;
  }

  private resolve(name: string, value: OrtTensor | Slot): OrtTensor {
    const info = this.inputNamed(name);
    if (!isSlot(value)) return this.checked(info, value);
    const held = this.slots.get(value.slot);
    if (held === undefined) throw new Error(`${this.name}: the slot fed to "${name}" is empty`);
    return this.checked(info, held);
  }

  private checked({ name, dtype, shape }: ValueInfo, value: OrtTensor): OrtTensor {
    const sameShape =
      value.dims.length === shape.length &&
      shape.every((dim, axis) => typeof dim === "string" || dim === value.dims[axis]);
    if (value.type !== dtype || !sameShape) {
      throw new Error(
        `${this.name}: input "${name}" got ${value.type} [${value.dims.join(", ")}], ` +
          `expected ${dtype} [${shape.join(", ")}]`,
      );
    }
    return value;
  }

  private inputNamed(name: string): ValueInfo {
    const info = this.inputOf.get(name);
    if (info === undefined) throw new Error(`${this.name} has no input "${name}"`);
    return info;
  }

  private async compute(values: Record<string, OrtTensor>, fetches: readonly string[]) {
    const unknown = fetches.find((name) => !this.outputs.some((info) => info.name === name));
    if (unknown !== undefined) throw new Error(`${this.name} has no output "${unknown}"`);
    try {
      return await this.session.run(values, fetches);
    } catch (cause) {
      throw engineError(`the ${this.name} failed`, cause);
    }
  }

  private checkAlive(): void {
    if (this.released) throw new Error(`the ${this.name} has been released`);
  }
}

function sessionOptions(options: RunnerOptions): InferenceSession.SessionOptions {
  const { device = "cpu" } = options;
  const session: Record<string, unknown> = {
    // A spinning thread takes the core that another lane or the event loop needs.
    intra_op: { allow_spinning: "0" },
  };
  if (options.exactInt8) session["x64quantprecision"] = "1";
  if (options.externalFolder !== undefined) {
    session["model_external_initializers_file_folder_path"] = options.externalFolder;
    // Packing would copy every mapped weight into memory of our own.
    if (!options.packsMapped) session["disable_prepacking"] = "1";
  }
  return {
    // Alone: in a list, a device that this build lacks would be passed over silently. Operations that the
    // device lacks go to the CPU in any case, and are reported.
    executionProviders: [device],
    intraOpNumThreads: options.threads ?? 1,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: options.optimization ?? "all",
    // A memory pattern reserves the peak of a run for good, and makes nothing faster.
    enableMemPattern: false,
    logSeverityLevel: DEVICES[device].logSeverityLevel,
    extra: { session },
  };
}

/** Element types that cross between ONNX Runtime and JavaScript; bfloat16 does not. */
const CROSSING: ReadonlySet<string> = new Set<DType>([
  "float32",
  "float64",
  "float16",
  "int8",
  "uint8",
  "int16",
  "uint16",
  "int32",
  "int64",
  "bool",
]);

function isCrossing(type: string): type is Exclude<DType, "bfloat16"> {
  return CROSSING.has(type);
}

function valueInfo(metadata: InferenceSession.ValueMetadata): ValueInfo {
  if (!metadata.isTensor || !isCrossing(metadata.type)) {
    const type = metadata.isTensor ? metadata.type : "no tensor";
    throw new Error(`"${metadata.name}" is ${type}, which cannot be fed or fetched`);
  }
  return { name: metadata.name, dtype: metadata.type, shape: metadata.shape };
}

function isSlot(value: Tensor | OrtTensor | Slot): value is Slot {
  return "slot" in value;
}

/** Wraps a tensor for ONNX Runtime; both share one buffer. */
export function toOrt({ dtype, shape, data }: Tensor): OrtTensor {
  if (dtype === "bfloat16") throw new Error("bfloat16 cannot be fed: feed its bits as uint16, or float32");
  return new OrtTensor(dtype, data as Float32Array, shape);
}

/** Wraps a result of ONNX Runtime; both share one buffer. */
function fromOrt(value: OrtTensor): Tensor {
  const { type, dims } = value;
  if (!isCrossing(type)) throw new Error(`a result of type ${type} cannot be fetched`);
  const data = value.data as Tensor["data"];
  // Newer versions of Node have a Float16Array; we hold the bits.
  const raw = type === "float16" ? new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2) : data;
  return { dtype: type, shape: dims, data: raw };
}

function engineError(what: string, cause: unknown): Error {
  const message = withoutSourceLines(cause instanceof Error ? cause.message : String(cause));
  if (/failed to allocate memory|bad_alloc|out of memory/i.test(message)) {
    return new UserError(
      `${what}: not enough memory. Choose a smaller size or fewer frames, or close other programs (${message})`,
      { cause },
    );
  }
  return new Error(`${what}: ${message}`, { cause });
}

/** ONNX Runtime puts "file.cc:136 function(types) condition was false. " before what it has to say. */
function withoutSourceLines(message: string): string {
  return message.replace(/\S+\.(?:cc|h):\d+ .*? was false\. /gs, "").trim();
}
