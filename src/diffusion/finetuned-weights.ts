/** One set of base weights and the finetunings of two phases, of which one is in force. */
import {
  embedParams,
  quantizeLinears,
  quantizedParams,
  smoothingParams,
} from "../models/layers/int8-linears.ts";
import { type WanDiTGraph } from "../models/wan-dit/build.ts";
import { addLora } from "../models/layers/lora.ts";
import { type LoraWeights, type WeightedLora, mergeLoras, mergeWhole } from "../models/layers/lora-merge.ts";
import { type Smoothing, quantizeWeight } from "../models/layers/smooth-quant.ts";
import { int8Saturates } from "../runtime/int8-check.ts";
import { type Lane } from "../runtime/lane.ts";
import { overlayCheckpoints } from "../runtime/mapped-checkpoint.ts";
import { type Checkpoint } from "../runtime/safetensors.ts";
import { type Session } from "../runtime/session.ts";
import { MAP_BEYOND_BYTES, SharedWeights, staysInFiles } from "../runtime/shared-weights.ts";
import { type WeightSpec, checkWeights } from "../runtime/weights.ts";
import { UserError, invariant } from "../tensor/errors.ts";
import { type Tensor, zeros } from "../tensor/tensor.ts";
import { type Int8Layers, int8Groups } from "./int8-calibration.ts";
import { type LoraFile } from "./lora-file.ts";
import { type Placement } from "./placement.ts";

/** Phase 1 makes anchor and base segments, phase 2 interpolated ones (method section 4). */
export type PhaseName = "phase1" | "phase2";

const PHASE_NAMES = ["phase1", "phase2"] as const;

/** A LoRA over the base, and how strongly it counts: see `WeightedLora`. */
export interface AppliedLora {
  readonly file: LoraFile;
  readonly weight: number;
}

/** The LoRAs of each phase in the order in which they are merged, the phase's own finetuning first. */
export type PhaseLoras = Readonly<Record<PhaseName, readonly AppliedLora[]>>;

export interface FinetunedWeightsOptions {
  readonly lane: Lane;
  /** Models of more bytes as float32 stay in their files; see `SharedWeights`. */
  readonly mapBeyondBytes?: number;
  /** Computes the layers that it names in int8. */
  readonly int8?: Int8Layers | null;
}

/**
 * The denoiser's weights. Where the base fits into memory, low-rank pairs are merged into it, which costs a run
 * nothing. Where it stays in its files, pairs become inputs of the graph beside it. Either way `use` replaces what
 * differs between the phases under all open sessions, and the base is held once.
 */
export class FinetunedWeights {
  private readonly shared: SharedWeights;
  /** The layers that are computed in int8. */
  readonly int8: Int8Layers | null;
  /** The smoothing of each weight that is quantised, by the weight's key. */
  private readonly smoothingOf: ReadonlyMap<string, Smoothing>;
  /** Quantised weights of the phase in force, by key. Sessions take them as constants. */
  private readonly embedded = new Map<string, Tensor>();
  private inForce: PhaseName | null = null;

  private constructor(
    private readonly base: Checkpoint,
    private readonly phases: Readonly<Record<PhaseName, readonly WeightedLora[]>>,
    private readonly specs: ReadonlyMap<string, WeightSpec>,
    private readonly isMerged: boolean,
    options: Required<FinetunedWeightsOptions>,
  ) {
    const { lane, mapBeyondBytes, int8 } = options;
    this.int8 = int8;
    this.smoothingOf = new Map(
      int8?.groups.flatMap((group) => group.weights.map((key) => [key, group] as const)),
    );
    const files = int8?.weights ? overlayCheckpoints([base, int8.weights]) : base;
    this.shared = new SharedWeights(lane, files, { model: "the denoiser", mapBeyondBytes });
  }

  /**
   * Checks that base and LoRAs fit a denoiser; nothing is held in memory but the LoRAs.
   * @param specs the parameters of the denoiser
   * @throws UserError naming missing and mis-shaped tensors
   */
  static async open(
    base: Checkpoint,
    loras: PhaseLoras,
    specs: Iterable<WeightSpec>,
    { lane, mapBeyondBytes = MAP_BEYOND_BYTES, int8 = null }: FinetunedWeightsOptions,
  ): Promise<FinetunedWeights> {
    const byKey = new Map([...specs].map((spec) => [spec.name, spec]));
    const files = new Set(PHASE_NAMES.flatMap((phase) => loras[phase].map(({ file }) => file)));
    for (const file of files) checkFits(file, byKey);
    const read = new Map<LoraFile, LoraWeights>();
    for (const file of files) read.set(file, await file.readFloat32());
    const stackOf = (phase: PhaseName): WeightedLora[] =>
      loras[phase].map(({ file, weight }) => ({ lora: read.get(file)!, weight }));
    const phases = { phase1: stackOf("phase1"), phase2: stackOf("phase2") };
    const isWhole = (key: string): boolean =>
      PHASE_NAMES.every((phase) =>
        phases[phase].some(({ lora, weight }) => weight === 1 && lora.whole.has(key)),
      );
    const needed = [...byKey.values()].filter(({ name }) => !isWhole(name));
    checkWeights(needed, base, "the denoiser");
    const isMerged = !staysInFiles(base, mapBeyondBytes);
    invariant(
      !int8 || isMerged === (int8.weights === null),
      "int8 weights are in a file where the base stays in its",
    );
    return new FinetunedWeights(base, phases, byKey, isMerged, { lane, mapBeyondBytes, int8 });
  }

  /**
   * Puts a phase in force for all sessions, from their next run on. To be called before the first session.
   * @returns false where sessions opened before keep their weights, because these are int8: they are to be opened again
   */
  async use(phase: PhaseName): Promise<boolean> {
    if (this.inForce === phase) return true;
    const pairs = this.keysOf("pairs");
    const changed = new Set([
      ...this.keysOf("whole"),
      ...this.keysOf("diffs"),
      ...(this.isMerged ? pairs : []),
    ]);
    for (const key of changed) await this.put(key, await this.weightOf(key, phase));
    if (!this.isMerged) for (const key of pairs) await this.shared.set(this.pairWeights(key, phase));
    if (this.inForce === null) await this.putInt8(changed);
    this.inForce = phase;
    return ![...changed].some((key) => this.smoothingOf.has(key));
  }

  /** All weights of a phase, with its LoRAs merged in: for models that fit into memory. */
  async read(phase: PhaseName): Promise<Map<string, Tensor<"float32">>> {
    const weights = new Map<string, Tensor<"float32">>();
    for (const key of this.specs.keys()) {
      weights.set(key, mergeLoras(key, await this.startOf(key, phase), this.phases[phase]));
    }
    return weights;
  }

  /** A session of one of the denoiser's graphs, whole or of one stage; the graph is used up. */
  async session(graph: WanDiTGraph, name: string, { device, threads }: Placement): Promise<Session> {
    invariant(this.inForce, "a phase is put in force before the first session");
    const targets = [...this.keysOf("pairs")].filter((key) => graph.params.has(key));
    if (!this.isMerged && targets.length > 0) {
      addLora(graph, { rank: this.largestRank(), scale: 1, targets: exactly(targets) });
    }
    const { int8 } = this;
    if (int8) quantizeLinears(graph, int8Groups(graph, int8));
    embedParams(graph, this.embedded);
    const exactInt8 = int8 !== null && (await int8Saturates());
    return this.shared.session(graph, { name, device, threads, exactInt8, packsMapped: int8 !== null });
  }

  /** Frees the weights; sessions over them cannot run any more. */
  release(): Promise<void> {
    return this.shared.release();
  }

  /** Keys that either phase changes, each once. */
  private keysOf(part: "pairs" | "whole" | "diffs"): Set<string> {
    const loras = PHASE_NAMES.flatMap((phase) => this.phases[phase]);
    return new Set(loras.flatMap(({ lora }) => [...lora[part].keys()]));
  }

  /** Holds a weight, in int8 where it is to be. */
  private async put(key: string, weight: Tensor<"float32">): Promise<void> {
    const smoothing = this.smoothingOf.get(key);
    if (!smoothing) return this.shared.set({ [key]: weight });
    const quantized = quantizeWeight(weight, smoothing);
    for (const [param, value] of quantizedParams(key, quantized)) this.embedded.set(param, value);
  }

  /** Makes what int8 needs that no phase changes; weights in a file are made. */
  private async putInt8(changed: ReadonlySet<string>): Promise<void> {
    for (const key of this.int8?.weights ? [] : this.smoothingOf.keys()) {
      if (!changed.has(key)) await this.put(key, await this.base.readFloat32(key));
    }
    for (const group of this.int8?.groups ?? []) {
      for (const [param, value] of smoothingParams(group.name, group)) this.embedded.set(param, value);
    }
  }

  /** A weight that a phase changes, without the pairs that stay beside it. */
  private async weightOf(key: string, phase: PhaseName): Promise<Tensor<"float32">> {
    const merge = this.isMerged ? mergeLoras : mergeWhole;
    return merge(key, await this.startOf(key, phase), this.phases[phase]);
  }

  /** The base's weight. Where it has none, a LoRA of the phase holds it whole and leaves nothing of what was before. */
  private async startOf(key: string, phase: PhaseName): Promise<Tensor<"float32">> {
    if (this.base.tensors.has(key)) return this.base.readFloat32(key);
    return this.phases[phase]
      .find(({ lora, weight }) => weight === 1 && lora.whole.has(key))!
      .lora.whole.get(key)!;
  }

  /**
   * The pairs of a key as one: A one below the other, B side by side with weights and scales multiplied in, filled up
   * with zeros to the common rank; only zeros where the phase has none.
   */
  private pairWeights(key: string, phase: PhaseName): Record<string, Tensor<"float32">> {
    const [out, width] = this.specs.get(key)!.shape as [number, number];
    const rank = this.largestRank();
    const a = zeros([rank, width]);
    const b = zeros([out, rank]);
    let from = 0;
    for (const { lora, weight } of this.phases[phase]) {
      const pair = lora.pairs.get(key);
      if (!pair) continue;
      const ownRank = pair.a.shape[0]!;
      const factor = weight * pair.scale;
      a.data.set(pair.a.data, from * width);
      for (let row = 0; row < out; row++) {
        const values = pair.b.data.subarray(row * ownRank, (row + 1) * ownRank);
        b.data.set(factor === 1 ? values : values.map((x) => factor * x), row * rank + from);
      }
      from += ownRank;
    }
    const stem = key.replace(/weight$/, "");
    return { [`${stem}lora_A.weight`]: a, [`${stem}lora_B.weight`]: b };
  }

  /** The largest sum of ranks that a phase has at one key. */
  private largestRank(): number {
    const ranks = PHASE_NAMES.flatMap((phase) =>
      [...this.keysOf("pairs")].map((key) =>
        this.phases[phase].reduce((sum, { lora }) => sum + (lora.pairs.get(key)?.a.shape[0] ?? 0), 0),
      ),
    );
    return Math.max(...ranks);
  }
}

/** Checks each tensor of a LoRA against the denoiser, before it is read. */
export function checkFits(file: LoraFile, specs: ReadonlyMap<string, WeightSpec>): void {
  const changes = [
    ...[...file.whole, ...file.diffs].map(([key, { shape }]) => [key, shape] as const),
    ...[...file.pairs].map(([key, { a, b }]) => [key, [b.shape[0]!, a.shape[1]!]] as const),
  ];
  for (const [key, shape] of changes) {
    const spec = specs.get(key);
    if (!spec) throw new UserError(`${file.path} changes "${key}", which the denoiser does not have`);
    if (spec.shape.join() === shape.join()) continue;
    throw new UserError(
      `${file.path} changes "${key}" as [${shape.join(", ")}]; the denoiser has [${spec.shape.join(", ")}]`,
    );
  }
}

/** Matches these keys and no others. */
function exactly(keys: readonly string[]): RegExp {
  return new RegExp(`^(?:${keys.map((key) => key.replaceAll(".", String.raw`\.`)).join("|")})$`);
}
