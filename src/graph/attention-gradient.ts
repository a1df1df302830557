// Shapes: B batch, L queries, S keys, H heads, K width of a head, D = H K.
import { add, mul, sub } from "./elementwise.ts";
import { type Value, numElements } from "./graph.ts";
import { matmul } from "./linear-ops.ts";
import { attentionWeights } from "./nn-ops.ts";
import { after } from "./ordering.ts";
import { sum } from "./reduce.ts";
import { concat, rearrange, slice, transposeLast } from "./shape-ops.ts";

/** Chunks need not be smaller than this: 16 MiB in float32. */
const SMALL_CHUNK_WEIGHTS = 2 ** 22;

/** How attention is cut up for its gradient. */
export interface AttentionChunks {
  readonly heads: number;
  /** Fewer than all only where a chunk is one head. */
  readonly queries: number;
}

/**
 * Chunks of nearly equal size, whole heads as long as they fit. By default a chunk has no more attention weights than
 * the queries have elements, L D, so that memory grows with the tokens, not with their square, while the number of
 * chunks stays below about S / K.
 */
export function attentionChunks(
  q: Value,
  k: Value,
  numHeads: number,
  maxWeights = Math.max(SMALL_CHUNK_WEIGHTS, numElements(q)),
): AttentionChunks {
  const perQuery = q.dim(0) * k.dim(1);
  return {
    heads: evenPart(numHeads, maxWeights / (perQuery * q.dim(1))),
    queries: evenPart(q.dim(1), maxWeights / perQuery),
  };
}

/** The size of the fewest equal parts of at most `limit`, and at least 1. */
function evenPart(total: number, limit: number): number {
  return Math.ceil(total / Math.ceil(total / Math.max(1, Math.floor(limit))));
}

interface Operands {
  /** Adjoint and value of the attention's output, [B, L, D]. */
  readonly g: Value;
  readonly y: Value;
  /** [B, L, D] and [B, S, D]. */
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
}

/** Adjoints of queries, keys and values; null where not asked for. */
type Adjoints = [dq: Value | null, dk: Value | null, dv: Value | null];

/**
 * Backward of attention by recomputing the weights P:
 * dV = Pᵀ dO, dP = dO Vᵀ, dS = P (dP - Σ dO·O), dQ = dS K / √K, dK = dSᵀ Q / √K.
 *
 * Some heads and queries at a time, one chunk after the other, so that what exists of P and its like is bounded
 * however many tokens there are.
 */
export function attentionGradient(
  operands: Operands,
  numHeads: number,
  needs: readonly boolean[],
  maxWeights?: number,
): Adjoints {
  const { q, k } = operands;
  const chunks = attentionChunks(q, k, numHeads, maxWeights);
  const headDim = q.dim(2) / numHeads;
  const groups: Adjoints[] = [];
  for (const [from, to] of ranges(numHeads, chunks.heads)) {
    const part = (x: Value): Value => slice(x, 2, from * headDim, to * headDim);
    const group = mapOperands(operands, part);
    groups.push(groupGradient(group, to - from, chunks.queries, needs, computed(groups.at(-1))));
  }
  return [0, 1, 2].map((i) => {
    const parts = groups.flatMap((group) => group[i] ?? []);
    return parts.length > 0 ? concat(parts, 2) : null;
  }) as Adjoints;
}

/** The same for heads that are few enough, over chunks of their queries. */
function groupGradient(
  operands: Operands,
  numHeads: number,
  queriesPerChunk: number,
  needs: readonly boolean[],
  earlier: readonly Value[],
): Adjoints {
  const heads = (x: Value): Value => rearrange(x, "B L (H K) -> B H L K", { H: numHeads });
  const merge = (x: Value | null): Value | null => x && rearrange(x, "B H L K -> B L (H K)");
  const { q, k, v, g, y } = mapOperands(operands, heads);
  const scale = 1 / Math.sqrt(q.dim(-1));
  const [kT, vT] = [transposeLast(k), transposeLast(v)];
  const dqs: Value[] = [];
  let [dk, dv]: (Value | null)[] = [null, null];
  let before = earlier;
  for (const [from, to] of ranges(q.dim(2), queriesPerChunk)) {
    const rows = (x: Value): Value => slice(x, 2, from, to);
    const queries = before.length > 0 ? after(rows(q), before) : rows(q);
    const weights = attentionWeights(queries, kT);
    if (needs[2]) dv = accumulated(dv, matmul(transposeLast(weights), rows(g)));
    if (needs[0] || needs[1]) {
      const delta = sum(mul(rows(g), rows(y)), [-1]);
      const ds = mul(weights, sub(matmul(rows(g), vT), delta));
      if (needs[0]) dqs.push(mul(matmul(ds, k), scale));
      if (needs[1]) dk = accumulated(dk, mul(matmul(transposeLast(ds), queries), scale));
    }
    before = computed([dqs.at(-1) ?? null, dk ?? null, dv ?? null]);
  }
  return [dqs.length > 0 ? merge(concat(dqs, 2)) : null, merge(dk ?? null), merge(dv ?? null)];
}

function accumulated(total: Value | null | undefined, part: Value): Value {
  return total ? add(total, part) : part;
}

function computed(adjoints: Adjoints | undefined): Value[] {
  return adjoints?.filter((adjoint) => adjoint !== null) ?? [];
}

function mapOperands({ g, y, q, k, v }: Operands, f: (x: Value) => Value): Operands {
  return { g: f(g), y: f(y), q: f(q), k: f(k), v: f(v) };
}

/** [0, size), [size, 2 size) … up to `total`. */
function ranges(total: number, size: number): [from: number, to: number][] {
  return Array.from({ length: Math.ceil(total / size) }, (_, i) => [
    i * size,
    Math.min(total, (i + 1) * size),
  ]);
}
