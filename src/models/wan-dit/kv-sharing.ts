// Background KV-sharing: what it adds to the denoiser's graph. Shapes: L video tokens, R reference tokens, T = L + R,
// D width, M text tokens. One sample at a time.
import { type Graph, type Value, concat, expand, not, or, reshape } from "../../graph/index.ts";
import { UserError, invariant } from "../../tensor/errors.ts";
import { type Tensor, zeros } from "../../tensor/tensor.ts";
import { type BlockResult } from "./block.ts";
import { type WanDiTConfig } from "./config.ts";
import { type KeptTensor, type KeyDType, keepKeys, readKeys } from "./kept-keys.ts";
import { type BlockRange } from "./model.ts";
import { type TokenGrid } from "./rope.ts";
import { type SharedKeys } from "./shared-attention.ts";
import { SubjectMaps, type SubjectMask } from "./subject-map.ts";

/**
 * Which tokens read the anchor's keys, and which of these they see:
 * - `paper`: background and reference tokens read the anchor's background and reference tokens (Eq. 5-6);
 * - `paper-ref-own`: the same, but reference tokens keep their own keys;
 * - `official`: as `paper`, but all of the anchor's tokens are seen, as the published code comes out;
 * - `nomask`: every token reads all of the anchor's tokens.
 */
export type KvSharingMode = "paper" | "paper-ref-own" | "official" | "nomask";

export interface KvSharing {
  /** `capture` makes keys and values outputs (the anchor segment); `share` reads them (the base segments). */
  readonly role: "capture" | "share";
  readonly mode: KvSharingMode;
  /** The pass of guidance: the positive one makes the masks, the negative one is given them. */
  readonly branch: "positive" | "negative";
  /** Blocks whose keys and values are shared. */
  readonly blocks: readonly number[];
  /** Last block whose subject map counts; 10 as published. */
  readonly maxMapBlock: number;
  /** What keys and values are kept in between the graphs, float32 by default. Attention is float32. */
  readonly keyDType?: KeyDType;
}

/** The tensors of one block's sharing, as graph inputs and outputs. */
export type KvTensor = KeptTensor | "subject" | "sourceSubject";

/** Name of a block's input or output. */
export const kvName = (block: number, tensor: KvTensor): string => `kv.${block}.${tensor}`;

/** Name of the input that marks the text tokens of the subject's word: float [M], 1 there and 0 elsewhere. */
export const SUBJECT_TOKENS = "subjectTokens";

/** Name of the sum of subject maps, [f, P], where one graph of several hands it on to the next. */
export const MAP_TOTAL = "mapTotal";

/** What sharing does around each block. */
export interface KvHook {
  /** The keys that the block's tokens read besides their own. */
  sharedKeys(block: number): SharedKeys | null;
  /** Takes from a finished block what sharing needs. */
  observe(block: number, result: BlockResult): void;
  /** Subject maps made along the way; null where this pass makes none. */
  readonly maps: SubjectMaps | null;
  /** Masks by block that this pass made. */
  readonly masks: ReadonlyMap<number, SubjectMask>;
}

/** The sizes sharing depends on, and where in the model the graph's blocks are. */
interface Layout {
  readonly grid: TokenGrid;
  readonly textTokens: number;
  /** All blocks by default. The sum of the maps before the range is an input then: `MAP_TOTAL`, [f, P]. */
  readonly range?: BlockRange;
}

/**
 * Sharing for one graph. Declares these inputs and outputs (see `kvName`), T = L + R tokens, reference last:
 * - capture: outputs `k`, `v` [1, T, D] in `keyDType` (see `keepKeys`), and on the positive pass `subject` bool [L],
 *   the anchor's mask;
 * - share: inputs `k`, `v` [1, S, D], S <= T known at run time (see `gatherSharedRows`), `sourceSubject` bool [L], the
 *   anchor's mask; `subject` bool [L], the segment's own mask, is an output of the positive pass and an input of the
 *   negative one. Block 0 has no `subject`, because no map comes before it.
 * - a positive pass that makes maps: input `subjectTokens` [M].
 * @throws UserError when the options do not fit the model
 */
export function kvHook(graph: Graph, config: WanDiTConfig, options: KvSharing, layout: Layout): KvHook {
  const { blocks, maxMapBlock, role, mode, branch } = options;
  const outside = blocks.find(
    (block) => !(Number.isInteger(block) && block >= 0 && block < config.numLayers),
  );
  if (outside !== undefined || blocks.length === 0) {
    throw new UserError(
      `KV-sharing over blocks [${blocks.join(", ")}]: the model has 0 … ${config.numLayers - 1}`,
    );
  }
  if (!Number.isInteger(maxMapBlock) || maxMapBlock < 0) {
    throw new UserError(`the last block that makes subject maps is ${maxMapBlock}; it must be at least 0`);
  }
  // The mask of a captured block includes the block's own map, that of a sharing block only maps before it.
  const lastMap = Math.min(maxMapBlock, Math.max(...blocks) - (role === "share" ? 1 : 0));
  const makesMaps = branch === "positive" && mode !== "nomask" && lastMap >= 0;
  const maps = makesMaps ? mapsOf(graph, config, options, layout, lastMap) : null;
  return role === "capture"
    ? new Capture(graph, options, maps)
    : new Share(graph, config, options, layout.grid, maps);
}

/** The maps of a range of blocks that makes or reads some; null for others. */
function mapsOf(
  graph: Graph,
  config: WanDiTConfig,
  { blocks }: KvSharing,
  { grid, textTokens, range = { first: 0, length: config.numLayers } }: Layout,
  lastMap: number,
): SubjectMaps | null {
  const { first, length } = range;
  const makes = first <= lastMap;
  const reads = blocks.some((block) => block >= first && block < first + length);
  if (!makes && !reads) return null;
  const tokens = makes ? graph.input(SUBJECT_TOKENS, [textTokens]) : null;
  const before = first > 0 ? graph.input(MAP_TOTAL, [grid[0], grid[1] * grid[2]]) : null;
  const sum = before && { total: before, numMaps: Math.min(first, lastMap + 1) };
  return new SubjectMaps(config, tokens, grid, lastMap, sum);
}

class Capture implements KvHook {
  readonly masks = new Map<number, SubjectMask>();

  constructor(
    private readonly graph: Graph,
    private readonly options: KvSharing,
    readonly maps: SubjectMaps | null,
  ) {}

  sharedKeys(): null {
    return null;
  }

  observe(block: number, { selfAttention, crossAttention }: BlockResult): void {
    this.maps?.add(crossAttention);
    const { blocks, keyDType = "float32" } = this.options;
    if (!blocks.includes(block)) return;
    for (const [name, value] of keepKeys(selfAttention, keyDType))
      this.graph.output(kvName(block, name), value);
    const mask = this.maps?.mask();
    if (!mask) return;
    this.masks.set(block, mask);
    this.graph.output(kvName(block, "subject"), reshape(mask.mask, [-1]));
  }
}

class Share implements KvHook {
  readonly masks = new Map<number, SubjectMask>();

  constructor(
    private readonly graph: Graph,
    private readonly config: WanDiTConfig,
    private readonly options: KvSharing,
    private readonly grid: TokenGrid,
    readonly maps: SubjectMaps | null,
  ) {}

  sharedKeys(block: number): SharedKeys | null {
    const { blocks, keyDType = "float32" } = this.options;
    if (!blocks.includes(block)) return null;
    const [frames, rows, columns] = this.grid;
    const numTokens = (frames + 1) * rows * columns;
    const nameOf = (tensor: KeptTensor): string => kvName(block, tensor);
    const size = [numTokens, this.config.dim] as const;
    const keys = readKeys(this.graph, size, keyDType, nameOf, `sharedTokens.${block}`);
    return { ...keys, keepsOwn: this.keepsOwn(block) };
  }

  observe(_block: number, { crossAttention }: BlockResult): void {
    this.maps?.add(crossAttention);
  }

  /** Video tokens in M OR Ms (Eq. 6), and reference tokens where the mode says so; [T]. */
  private keepsOwn(block: number): Value | null {
    const { mode } = this.options;
    if (mode === "nomask") return null;
    const [frames, rows, columns] = this.grid;
    const numVideo = frames * rows * columns;
    const source = this.graph.input(kvName(block, "sourceSubject"), [numVideo], { dtype: "bool" });
    const current = this.subject(block, numVideo);
    const video = current ? or(current, source) : source;
    const nothing = this.graph.constant(zeros([1], "bool") as Tensor);
    const noRef = expand(nothing, [rows * columns]);
    return concat([video, mode === "paper-ref-own" ? not(noRef) : noRef], 0);
  }

  /** The mask of the segment itself: made here from the maps of the blocks before, or given. */
  private subject(block: number, numVideo: number): Value | null {
    if (block === 0) return null;
    if (this.options.branch === "negative") {
      return this.graph.input(kvName(block, "subject"), [numVideo], { dtype: "bool" });
    }
    const mask = this.maps?.mask();
    invariant(mask, `no subject map comes before block ${block}`);
    this.masks.set(block, mask);
    const subject = reshape(mask.mask, [numVideo]);
    this.graph.output(kvName(block, "subject"), subject);
    return subject;
  }
}
