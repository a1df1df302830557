/** One set of base weights and two finetunings of it, of which one is in force. */
import { type buildWanDiT } from "../models/wan-dit/build.ts";
import { addLora } from "../models/layers/lora.ts";
import { type LoraWeights, mergeLoraWeight, parseLora } from "../models/layers/lora-merge.ts";
import { type Lane } from "../runtime/lane.ts";
import { type Checkpoint } from "../runtime/safetensors.ts";
import { type Session } from "../runtime/session.ts";
import { SharedWeights } from "../runtime/shared-weights.ts";
import { type WeightSpec, checkWeights } from "../runtime/weights.ts";
import { UserError, invariant } from "../tensor/errors.ts";
import { type Tensor, sizeOf, zeros } from "../tensor/tensor.ts";
import { type Placement } from "./placement.ts";

/** Phase 1 makes anchor and base segments, phase 2 interpolated ones (method section 4). */
export type PhaseName = "phase1" | "phase2";

const PHASE_NAMES = ["phase1", "phase2"] as const;

type DenoiserGraph = ReturnType<typeof buildWanDiT>;

export interface FinetunedWeightsOptions {
  readonly lane: Lane;
  /** Models of more bytes as float32 stay in their files; see `SharedWeights`. */
  readonly mapBeyondBytes?: number;
}

const MAP_BEYOND_BYTES = 2 ** 31;

/**
 * The denoiser's weights. Where the base fits into memory, low-rank pairs are merged into it, which costs a run
 * nothing. Where it stays in its files, pairs become inputs of the graph beside it. Either way `use` replaces what
 * differs between the phases under all open sessions, and the base is held once.
 */
export class FinetunedWeights {
  private readonly shared: SharedWeights;
  private inForce: PhaseName | null = null;

  private constructor(
    private readonly base: Checkpoint,
    private readonly phases: Readonly<Record<PhaseName, LoraWeights>>,
    private readonly specs: ReadonlyMap<string, WeightSpec>,
    private readonly isMerged: boolean,
    options: Required<FinetunedWeightsOptions>,
  ) {
    const { lane, mapBeyondBytes } = options;
    this.shared = new SharedWeights(lane, base, { model: "the denoiser", mapBeyondBytes });
  }

  /**
   * Checks that base and finetunings fit a denoiser; nothing is held in memory but the finetunings.
   * @param specs the parameters of the denoiser
   * @throws UserError naming missing and mis-shaped tensors
   */
  static async open(
    base: Checkpoint,
    finetunings: Readonly<Record<PhaseName, Checkpoint>>,
    specs: Iterable<WeightSpec>,
    { lane, mapBeyondBytes = MAP_BEYOND_BYTES }: FinetunedWeightsOptions,
  ): Promise<FinetunedWeights> {
    const byKey = new Map([...specs].map((spec) => [spec.name, spec]));
    const phases = {
      phase1: await readFinetuning(finetunings.phase1, byKey),
      phase2: await readFinetuning(finetunings.phase2, byKey),
    };
    const isWhole = (key: string): boolean => PHASE_NAMES.every((phase) => phases[phase].whole.has(key));
    const needed = [...byKey.values()].filter(({ name }) => !isWhole(name));
    checkWeights(needed, base, "the denoiser");
    const bytes = [...base.tensors.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
    const isMerged = bytes <= mapBeyondBytes;
    return new FinetunedWeights(base, phases, byKey, isMerged, { lane, mapBeyondBytes });
  }

  /** Puts a phase in force for all sessions, from their next run on. To be called before the first session. */
  async use(phase: PhaseName): Promise<void> {
    if (this.inForce === phase) return;
    for (const key of this.keysOf("whole"))
      await this.shared.set({ [key]: await this.wholeWeight(key, phase) });
    for (const key of this.keysOf("pairs")) {
      if (this.isMerged) await this.shared.set({ [key]: await this.mergedWeight(key, phase) });
      else await this.shared.set(this.pairWeights(key, phase));
    }
    this.inForce = phase;
  }

  /** A session of one of the denoiser's graphs; the graph is used up. */
  async session(graph: DenoiserGraph, name: string, { device, threads }: Placement): Promise<Session> {
    invariant(this.inForce, "a phase is put in force before the first session");
    const targets = [...this.keysOf("pairs")];
    if (!this.isMerged && targets.length > 0) {
      addLora(graph, { rank: this.largestRank(), scale: 1, targets: exactly(targets) });
    }
    return this.shared.session(graph, { name, device, threads });
  }

  /** Frees the weights; sessions over them cannot run any more. */
  release(): Promise<void> {
    return this.shared.release();
  }

  /** Keys that either phase changes, each once. */
  private keysOf(part: "pairs" | "whole"): Set<string> {
    return new Set(PHASE_NAMES.flatMap((phase) => [...this.phases[phase][part].keys()]));
  }

  private async wholeWeight(key: string, phase: PhaseName): Promise<Tensor<"float32">> {
    return this.phases[phase].whole.get(key) ?? this.base.readFloat32(key);
  }

  private async mergedWeight(key: string, phase: PhaseName): Promise<Tensor<"float32">> {
    return mergeLoraWeight(key, await this.base.readFloat32(key), this.phases[phase]);
  }

  /** The pair of a key, filled up with zeros to the common rank; only zeros where the phase has none. */
  private pairWeights(key: string, phase: PhaseName): Record<string, Tensor<"float32">> {
    const [out, width] = this.specs.get(key)!.shape as [number, number];
    const rank = this.largestRank();
    const a = zeros([rank, width]);
    const b = zeros([out, rank]);
    const pair = this.phases[phase].pairs.get(key);
    if (pair) {
      const ownRank = pair.a.shape[0]!;
      a.data.set(pair.a.data);
      for (let row = 0; row < out; row++) {
        b.data.set(pair.b.data.subarray(row * ownRank, (row + 1) * ownRank), row * rank);
      }
    }
    const stem = key.replace(/weight$/, "");
    return { [`${stem}lora_A.weight`]: a, [`${stem}lora_B.weight`]: b };
  }

  private largestRank(): number {
    const ranks = PHASE_NAMES.flatMap((phase) =>
      [...this.phases[phase].pairs.values()].map(({ a }) => a.shape[0]!),
    );
    return Math.max(...ranks);
  }
}

/** Reads a phase's file whole and checks each of its tensors against the denoiser. */
async function readFinetuning(
  checkpoint: Checkpoint,
  specs: ReadonlyMap<string, WeightSpec>,
): Promise<LoraWeights> {
  const tensors = new Map<string, Tensor<"float32">>();
  for (const key of checkpoint.tensors.keys()) tensors.set(key, await checkpoint.readFloat32(key));
  const finetuning = parseLora(tensors);
  const changes = [
    ...[...finetuning.whole].map(([key, { shape }]) => [key, shape] as const),
    ...[...finetuning.pairs].map(([key, { a, b }]) => [key, [b.shape[0]!, a.shape[1]!]] as const),
  ];
  for (const [key, shape] of changes) {
    const spec = specs.get(key);
    if (!spec) throw new UserError(`${checkpoint.path} changes "${key}", which the denoiser does not have`);
    if (spec.shape.join() === shape.join()) continue;
    throw new UserError(
      `${checkpoint.path} changes "${key}" as [${shape.join(", ")}]; the denoiser has [${spec.shape.join(", ")}]`,
    );
  }
  return finetuning;
}

/** Matches these keys and no others. */
function exactly(keys: readonly string[]): RegExp {
  return new RegExp(`^(?:${keys.map((key) => key.replaceAll(".", String.raw`\.`)).join("|")})$`);
}
