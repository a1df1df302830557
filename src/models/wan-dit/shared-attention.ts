// Shapes: T tokens, S shared keys, D width. One sample.
import {
  type Value,
  add,
  attention,
  cast,
  concat,
  cumSum,
  gather,
  not,
  reshape,
  sum,
  trueIndices,
  where,
} from "../../graph/index.ts";
import { zeros } from "../../tensor/tensor.ts";

/** Keys and values of one self-attention, [1, T or S, D]; S may be known only at run time. */
export interface Keys {
  readonly k: Value;
  readonly v: Value;
}

/** Keys and values of another segment's self-attention, and who reads them. */
export interface SharedKeys extends Keys {
  /** bool [T]: tokens that keep their own keys; null when every token takes the shared ones. */
  readonly keepsOwn: Value | null;
}

/**
 * Attention in which every token reads either its own segment's keys or the shared ones (Eq. 5-6); q [1, T, D].
 * The queries are parted first, so each token attends once: sharing costs no more attention than none, and less where
 * fewer keys are shared.
 */
export function sharedAttention(q: Value, own: Keys, shared: SharedKeys, numHeads: number): Value {
  const { keepsOwn } = shared;
  if (!keepsOwn) return attention(q, shared.k, shared.v, numHeads);
  const { graph } = q;
  const rows = reshape(q, [q.dim(1), q.dim(2)]);
  // Each part starts with a copy of token 0, because an attention without queries is not allowed.
  const spare = graph.constant(zeros([1, 1], "int64"));
  const part = (mask: Value, { k, v }: Keys): Value =>
    attention(gather(rows, concat([spare, trueIndices(mask)], 1)), k, v, numHeads);
  const takesShared = not(keepsOwn);
  const parts = concat([part(keepsOwn, own), part(takesShared, shared)], 1);

  // Where each token's row has gone: behind the spare row of its part, in the order of the tokens.
  const count = (mask: Value): Value => cast(mask, "int64");
  const ownRow = cumSum(count(keepsOwn), 0);
  const sharedRow = add(add(cumSum(count(takesShared), 0), sum(count(keepsOwn))), 1);
  return gather(parts, where(keepsOwn, ownRow, sharedRow), 1);
}
