// Shapes: L video tokens = f latent frames of P tokens, M text tokens, D width, H heads.
import { type Value, add, div, matmul, max, min, mul, reshape, sub, transpose } from "../../graph/index.ts";
import { invariant } from "../../tensor/errors.ts";
import { type Threshold, otsu } from "../layers/otsu.ts";
import { type CrossAttention } from "./attention.ts";
import { type WanDiTConfig } from "./config.ts";
import { type TokenGrid } from "./rope.ts";

/** Keeps the normalisation of a flat map finite. */
const RANGE_EPS = 1e-6;

/** How strongly each video token's cross-attention points at the subject's word, in one block. */
export interface SubjectMap {
  /** Logits before softmax, mean over heads, summed over the word's tokens; [f, P]. */
  readonly logits: Value;
  /** The same, 0-1 within each latent frame (Eq. 3). */
  readonly map: Value;
}

/** The mask of a block: Otsu's threshold (Eq. 4) of the mean of the maps so far, [f, P]. */
export interface SubjectMask extends Threshold {
  readonly mean: Value;
}

/**
 * The subject map of one block for one sample.
 * @param subjectTokens [M], 1 at the text tokens of the subject's word and 0 elsewhere
 */
export function subjectMap(
  config: WanDiTConfig,
  { q, textK }: CrossAttention,
  subjectTokens: Value,
  [frames, rows, columns]: TokenGrid,
): SubjectMap {
  const { dim, numHeads } = config;
  // Mean over heads of q_h · k_h is q · k / H, and a sum over tokens moves onto the keys: one vector per block.
  const key = matmul(reshape(subjectTokens, [1, 1, -1]), textK);
  const scale = 1 / (numHeads * Math.sqrt(dim / numHeads));
  const products = matmul(q, transpose(mul(key, scale), [0, 2, 1]));
  const logits = reshape(products, [frames, rows * columns]);
  const low = min(logits, [1]);
  const range = add(sub(max(logits, [1]), low), RANGE_EPS);
  return { logits, map: div(sub(logits, low), range) };
}

/** The sum of the maps of the blocks in front of a part of the denoiser. */
export interface MapTotal {
  /** [f, P] */
  readonly total: Value;
  readonly numMaps: number;
}

/** Running mean of the subject maps of blocks 0 … `lastBlock`, and its mask. */
export class SubjectMaps {
  /** The maps made here, in the order of their blocks. */
  readonly maps: SubjectMap[] = [];
  private current: SubjectMask | null = null;

  /**
   * @param subjectTokens null where all maps come before
   * @param sum what comes before; null in front of block 0
   */
  constructor(
    private readonly config: WanDiTConfig,
    private readonly subjectTokens: Value | null,
    private readonly grid: TokenGrid,
    private readonly lastBlock: number,
    private sum: MapTotal | null,
  ) {}

  /** The sum of all maps so far; null before the first one. */
  get total(): Value | null {
    return this.sum?.total ?? null;
  }

  /** Adds the map of the next block; blocks past the last that counts leave the mean as it is. */
  add(crossAttention: CrossAttention): void {
    const numMaps = this.sum?.numMaps ?? 0;
    if (numMaps > this.lastBlock) return;
    invariant(this.subjectTokens, "a map is made from the subject's tokens");
    const next = subjectMap(this.config, crossAttention, this.subjectTokens, this.grid);
    this.maps.push(next);
    this.sum = { total: this.sum ? add(this.sum.total, next.map) : next.map, numMaps: numMaps + 1 };
    this.current = null;
  }

  /** The mask of the mean so far; null before the first map. */
  mask(): SubjectMask | null {
    if (this.sum && !this.current) {
      const mean = div(this.sum.total, this.sum.numMaps);
      this.current = { mean, ...otsu(mean) };
    }
    return this.current;
  }
}
