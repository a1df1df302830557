import { invariant } from "../tensor/errors.ts";
import { add, div, mul, neg, sqrt, sub } from "./elementwise.ts";
import { type Value } from "./graph.ts";
import { matmul } from "./linear-ops.ts";
import { mean, softmax } from "./reduce.ts";
import { concat, rearrange, reshape, slice } from "./shape-ops.ts";

// ONNX Runtime has these operators in float32 only; in float64 they are composed from primitives, which
// gives gradient checks of whole models in double precision.

const MICROSOFT = "com.microsoft";

/** (x - mean) / sqrt(variance + epsilon) · scale + bias over the last axis; scale and bias broadcast. */
export function layerNorm(x: Value, scale: Value, bias: Value | null, epsilon: number): Value {
  if (x.dtype === "float64") {
    const centred = sub(x, mean(x, [-1]));
    const scaled = mul(div(centred, sqrt(add(mean(mul(centred, centred), [-1]), epsilon))), scale);
    return bias ? add(scaled, bias) : scaled;
  }
  const row = { shape: x.shape.with(-1, 1), dtype: x.dtype };
  const attributes = { axis: -1, epsilon: { float: epsilon } };
  const inputs = bias ? [x, scale, bias] : [x, scale];
  // The second and third outputs, mean and 1/deviation of each row, serve the gradient.
  return x.graph.emit("LayerNormalization", inputs, [x, row, row], { attributes })[0]!;
}

/** x / sqrt(mean(x²) + epsilon) · scale over the last axis. */
export function rmsNorm(x: Value, scale: Value, epsilon: number): Value {
  invariant(scale.rank === 1 && scale.dim(0) === x.dim(-1), `rmsNorm scale [${scale.shape.join(", ")}]`);
  if (x.dtype === "float64") return mul(div(x, sqrt(add(mean(mul(x, x), [-1]), epsilon))), scale);
  const row = { shape: x.shape.with(-1, 1), dtype: x.dtype };
  const attributes = { axis: -1, epsilon: { float: epsilon }, stash_type: 1 };
  // The second output, 1/root mean square of each row, serves the gradient.
  return x.graph.emit("SimplifiedLayerNormalization", [x, scale], [x, row], { attributes })[0]!;
}

/**
 * Rotary position embedding over adjacent channel pairs of every head.
 * x [B, L, D]; cos and sin [L, K/2] with K = D / numHeads.
 */
export function rotary(x: Value, cos: Value, sin: Value, numHeads: number): Value {
  invariant(
    x.rank === 3 && cos.rank === 2 && cos.dim(0) === x.dim(1) && cos.dim(1) * 2 * numHeads === x.dim(2),
    `rotary of [${x.shape.join(", ")}] with a table of [${cos.shape.join(", ")}] and ${numHeads} heads`,
  );
  if (x.dtype === "float64") return composedRotary(x, cos, sin, numHeads);
  const firstPosition = x.graph.constant({ dtype: "int64", shape: [1], data: BigInt64Array.of(0n) });
  const attributes = { interleaved: 1, num_heads: numHeads };
  const inputs = [x, firstPosition, cos, sin];
  return x.graph.emit("RotaryEmbedding", inputs, [x], { domain: MICROSOFT, attributes })[0]!;
}

/** (a, b) -> (a cos - b sin, a sin + b cos) for the pair (a, b) of channels 2i and 2i+1. */
function composedRotary(x: Value, cos: Value, sin: Value, numHeads: number): Value {
  const pairs = rearrange(x, "B L (H P two) -> B H L P two", { H: numHeads, two: 2 });
  const c = reshape(cos, [1, 1, ...cos.shape, 1]);
  const s = reshape(sin, [1, 1, ...sin.shape, 1]);
  const swapped = concat([neg(slice(pairs, 4, 1)), slice(pairs, 4, 0, 1)], 4);
  return rearrange(add(mul(pairs, c), mul(swapped, s)), "B H L P two -> B L (H P two)");
}

/** softmax(Q K^T / sqrt(K)) V per head; q [B, L, D], k and v [B, S, D] -> [B, L, D]. */
export function attention(q: Value, k: Value, v: Value, numHeads: number): Value {
  invariant(
    q.rank === 3 &&
      k.rank === 3 &&
      q.dim(2) === k.dim(2) &&
      q.dim(2) % numHeads === 0 &&
      k.dim(1) === v.dim(1),
    `attention of q [${q.shape.join(", ")}], k [${k.shape.join(", ")}], v [${v.shape.join(", ")}]`,
  );
  if (q.dtype === "float64") {
    const heads = (x: Value, pattern: string): Value => rearrange(x, pattern, { H: numHeads });
    const weights = attentionWeights(heads(q, "B L (H K) -> B H L K"), heads(k, "B S (H K) -> B H K S"));
    return rearrange(matmul(weights, heads(v, "B S (H K) -> B H S K")), "B H L K -> B L (H K)");
  }
  const attributes = { num_heads: numHeads };
  const type = { shape: [q.dim(0), q.dim(1), v.dim(2)], dtype: q.dtype };
  return q.graph.emit("MultiHeadAttention", [q, k, v], [type], { domain: MICROSOFT, attributes })[0]!;
}

/** softmax(q kT / sqrt(K)); q [B, H, L, K], kT [B, H, K, S] -> [B, H, L, S]. */
export function attentionWeights(q: Value, kT: Value): Value {
  return softmax(matmul(mul(q, 1 / Math.sqrt(q.dim(-1))), kT));
}
