// Shapes: [f, h, w] latent frames, rows and columns, M text tokens, N image tokens, T = L + R tokens (video, reference)
import { type WanDiTGraph, type WanDiTShape, buildWanDiT } from "../models/wan-dit/build.ts";
import { type WanDiTConfig } from "../models/wan-dit/config.ts";
import { KEPT_TENSORS, type KeyDType } from "../models/wan-dit/kept-keys.ts";
import { gatherSharedRows } from "../models/wan-dit/kv-gather.ts";
import { type KvSharing, type KvSharingMode, SUBJECT_TOKENS, kvName } from "../models/wan-dit/kv-sharing.ts";
import { wanDiTStages } from "../models/wan-dit/stages.ts";
import { type Lane } from "../runtime/lane.ts";
import { type Feeds, type Slot } from "../runtime/runner.ts";
import { type Session } from "../runtime/session.ts";
import { invariant } from "../tensor/errors.ts";
import { type Tensor, float32 } from "../tensor/tensor.ts";
import { type FinetunedWeights, type PhaseName } from "./finetuned-weights.ts";
import { type GuidanceBranch } from "./guidance.ts";
import { type HeldKeys, holdInLane, holdOnDisk } from "./held-keys.ts";
import { type Placement } from "./placement.ts";
import { StagedRunner } from "./staged-runner.ts";

/** Which tokens read the anchor's keys (see `KvSharingMode`). */
export type SharingMode = KvSharingMode;

/** Where in the denoiser keys and values are shared. */
export interface SharingSite {
  readonly mode: SharingMode;
  readonly blocks: readonly number[];
  /** What they are kept in; float16 by default, which halves them. */
  readonly keyDType?: KeyDType;
  /** Folder to keep them in; in memory by default. */
  readonly keyFolder?: string;
}

/** Sharing as the denoiser's graphs are built for it. */
export function sharingOf(
  { mode, blocks, keyDType = "float16" }: SharingSite,
  role: KvSharing["role"],
  branch: GuidanceBranch,
  maxMapBlock: number,
): Required<KvSharing> {
  return { role, branch, mode, blocks, keyDType, maxMapBlock };
}

/** What the denoiser is told about a segment, the same in every step. */
export interface SegmentInputs {
  /** [mask | pose latents], [1, 20, f, h, w]. */
  readonly cond: Tensor<"float32">;
  /** Hand-normal latents [1, 16, f, h, w]. */
  readonly hand: Tensor<"float32">;
  /** Reference image latents [1, 16, 1, h, w]. */
  readonly ref: Tensor<"float32">;
  /** [1, N, imageDim]; null for a model without image cross-attention. */
  readonly clipFeature: Tensor<"float32"> | null;
  /** Text context [1, M, textDim] of the prompt and of the negative prompt. */
  readonly contexts: Readonly<Record<GuidanceBranch, Tensor<"float32">>>;
  /** [M], 1 at the tokens of the subject's word; null when nothing is shared. */
  readonly subjectTokens: Tensor<"float32"> | null;
}

/** One evaluation of the velocity. */
export interface DenoiserCall {
  readonly branch: GuidanceBranch;
  /** Noisy latents, [16, f, h, w]. */
  readonly latents: Float32Array;
  /** 0-1000 */
  readonly timestep: number;
  readonly signal?: AbortSignal | undefined;
}

/** Masks of a segment by block: bool [L], 1 = subject. */
export type SubjectMasks = Map<number, Tensor<"bool">>;

/** What an anchor leaves of one denoising step for the base segments. */
export interface AnchorStep {
  readonly masks: SubjectMasks;
  /** By block: the rows of keys and values that base segments read. */
  readonly keys: Readonly<Record<GuidanceBranch, Map<number, HeldKeys>>>;
}

export function newAnchorStep(): AnchorStep {
  return { masks: new Map(), keys: { positive: new Map(), negative: new Map() } };
}

export interface DenoiserOptions {
  readonly config: WanDiTConfig;
  /** Sizes of a segment and of its contexts. */
  readonly shape: WanDiTShape;
  /** Last block whose attention maps make the subject mask. */
  readonly maxMapBlock: number;
  readonly lane: Lane;
  readonly weights: FinetunedWeights;
  readonly placement: Placement;
}

/** The values of a graph's inputs in one evaluation, by name; null where the model takes none. */
export function denoiserValues(
  { outDim }: WanDiTConfig,
  { latentFrames, latentHeight, latentWidth }: WanDiTShape,
  inputs: SegmentInputs,
  { branch, latents, timestep }: Omit<DenoiserCall, "signal">,
): Record<string, Tensor | null> {
  return {
    latents: float32(latents, [1, outDim, latentFrames, latentHeight, latentWidth]),
    cond: inputs.cond,
    hand: inputs.hand,
    ref: inputs.ref,
    timestep: float32([timestep]),
    context: inputs.contexts[branch],
    clipFeature: inputs.clipFeature,
    [SUBJECT_TOKENS]: inputs.subjectTokens,
  };
}

/** The denoiser for segments of one size: its graphs are opened when first needed and kept over all segments. */
export class Denoiser {
  private readonly evaluators = new Map<string, Promise<Evaluator>>();

  constructor(private readonly options: DenoiserOptions) {}

  /** Puts a phase's weights in force, from the next call on. */
  async use(phase: PhaseName): Promise<void> {
    if (!(await this.options.weights.use(phase))) await this.close();
  }

  /** The velocity [16, f, h, w]. */
  async predict(inputs: SegmentInputs, call: DenoiserCall): Promise<Float32Array> {
    const { velocity } = await this.run(null, inputs, call, {});
    return velocityOf(velocity);
  }

  /** The velocity of the anchor; adds to `into` what base segments need of this step and branch. */
  async capture(
    inputs: SegmentInputs,
    call: DenoiserCall,
    site: SharingSite,
    into: AnchorStep,
  ): Promise<Float32Array> {
    const { branch } = call;
    const outputs = await this.run(this.sharing("capture", branch, site), inputs, call, {});
    for (const block of site.blocks) {
      const subject = outputs[kvName(block, "subject")];
      if (subject) into.masks.set(block, subject as Tensor<"bool">);
      const mask = into.masks.get(block) ?? null;
      const kept: Record<string, Tensor> = {};
      for (const tensor of KEPT_TENSORS) {
        const name = kvName(block, tensor);
        const output = outputs[name];
        // The scales of channels are those of every row.
        if (!output) continue;
        kept[name] = tensor === "kScale" ? output : gatherSharedRows(site.mode, output, mask);
        delete outputs[name];
      }
      into.keys[branch].set(block, await this.hold(kept, site));
    }
    return velocityOf(outputs["velocity"]);
  }

  /**
   * The velocity of a base segment that shares the anchor's background.
   * @param own the segment's own masks of this step: written on the positive branch, read on the negative one
   */
  async share(
    inputs: SegmentInputs,
    call: DenoiserCall,
    site: SharingSite,
    anchor: AnchorStep,
    own: SubjectMasks,
  ): Promise<Float32Array> {
    const { branch } = call;
    const feeds: Record<string, Tensor | Slot> = {};
    const taken: (() => Promise<void>)[] = [];
    for (const block of site.blocks) {
      const keys = anchor.keys[branch].get(block);
      invariant(keys, `the anchor has left no keys of block ${block} for the ${branch} branch`);
      const slots = await keys.take();
      taken.push(() => keys.putBack(slots));
      Object.assign(feeds, slots);
      const source = anchor.masks.get(block);
      if (source) feeds[kvName(block, "sourceSubject")] = source;
      const subject = own.get(block);
      if (subject && branch === "negative") feeds[kvName(block, "subject")] = subject;
    }
    const outputs = await this.run(this.sharing("share", branch, site), inputs, call, feeds);
    for (const putBack of taken) await putBack();
    for (const block of site.blocks) {
      const subject = outputs[kvName(block, "subject")];
      if (subject) own.set(block, subject as Tensor<"bool">);
    }
    return velocityOf(outputs["velocity"]);
  }

  /** Frees the keys of anchor steps. */
  async forget(steps: Iterable<AnchorStep>): Promise<void> {
    for (const { keys } of steps) {
      for (const held of [...keys.positive.values(), ...keys.negative.values()]) await held.drop();
    }
  }

  /** Closes the graphs that match: all, or those of one role in sharing. */
  async close(role?: KvSharing["role"]): Promise<void> {
    const closing: Promise<Evaluator>[] = [];
    for (const [key, evaluator] of this.evaluators) {
      if (role !== undefined && !key.startsWith(role)) continue;
      this.evaluators.delete(key);
      closing.push(evaluator);
    }
    for (const evaluator of closing) await (await evaluator).release();
  }

  private hold(kept: Readonly<Record<string, Tensor>>, { keyFolder }: SharingSite): Promise<HeldKeys> {
    const { lane } = this.options;
    return keyFolder === undefined ? holdInLane(lane, kept) : holdOnDisk(lane, keyFolder, kept);
  }

  private sharing(role: KvSharing["role"], branch: GuidanceBranch, site: SharingSite): KvSharing {
    return sharingOf(site, role, branch, this.options.maxMapBlock);
  }

  private async run(
    kv: KvSharing | null,
    inputs: SegmentInputs,
    { branch, latents, timestep, signal }: DenoiserCall,
    shared: Feeds,
  ): Promise<Record<string, Tensor>> {
    const { config, shape } = this.options;
    const evaluator = await this.evaluatorFor(kv);
    const values = denoiserValues(config, shape, inputs, { branch, latents, timestep });
    const feeds: Record<string, Tensor | Slot> = { ...shared };
    for (const [name, value] of Object.entries(values)) if (value) feeds[name] = value;
    return evaluator.run(feeds, signal ? { signal } : {});
  }

  private evaluatorFor(kv: KvSharing | null): Promise<Evaluator> {
    const key = kv ? `${kv.role} ${JSON.stringify(kv)}` : "plain";
    const known = this.evaluators.get(key);
    if (known) return known;
    const opened = this.open(kv);
    this.evaluators.set(key, opened);
    return opened;
  }

  private async open(kv: KvSharing | null): Promise<Evaluator> {
    const { config, shape, weights, placement, lane } = this.options;
    const { blocksPerStage = null } = placement;
    const open = (graph: WanDiTGraph): Promise<Session> => weights.session(graph, "denoiser", placement);
    if (blocksPerStage === null) return keepOpen(await open(buildWanDiT(config, shape, kv)));
    return new StagedRunner({ stages: wanDiTStages(config, shape, kv, blocksPerStage), lane, open });
  }
}

/** A graph of the denoiser, in one session or in stages. Values that it does not take are not used. */
type Evaluator = Pick<StagedRunner, "run" | "release">;

function keepOpen(session: Session): Evaluator {
  const taken = new Set(session.inputs.map(({ name }) => name));
  return {
    run: (feeds, options) =>
      session.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => taken.has(name))), options),
    release: () => session.release(),
  };
}

function velocityOf(tensor: Tensor | undefined): Float32Array {
  invariant(tensor?.dtype === "float32", "the denoiser gave no float32 velocity");
  return tensor.data as Float32Array;
}
