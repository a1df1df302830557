// Shapes: B batch, T tokens, D width. G modulation groups: consecutive tokens of equal number that share one
// modulation. G = 1 (all), B (each sample) or B·f (each latent frame).
import { type Value, add, layerNorm, mul, reshape, split } from "../../graph/index.ts";

/** What a timestep does to one residual branch: x + gate · branch(norm(x) · (1 + scale) + shift). Each [G, 1, D]. */
export interface Modulation {
  readonly shift: Value;
  readonly scale: Value;
  readonly gate: Value;
}

/** Splits table [1, n, D] + time vectors [G, n, D] into n values [G, 1, D]. */
export function modulationVectors(table: Value, time: Value): Value[] {
  return split(add(table, time), 1, new Array<number>(table.dim(1)).fill(1));
}

/** LayerNorm(x) · (1 + scale) + shift in one operation; x [B, T, D]. */
export function modulatedNorm(x: Value, shift: Value, scale: Value, epsilon: number): Value {
  return perGroup(x, shift.dim(0), (grouped) => layerNorm(grouped, add(scale, 1), shift, epsilon));
}

/** x + gate · branch; x and branch [B, T, D]. */
export function gatedResidual(x: Value, gate: Value, branch: Value): Value {
  const gated = perGroup(branch, gate.dim(0), (grouped) => mul(grouped, gate));
  return add(x, gated);
}

/** Applies `f` to x seen as [G, tokens of a group, D], so that values [G, 1, D] broadcast over it. */
function perGroup(x: Value, numGroups: number, f: (grouped: Value) => Value): Value {
  if (numGroups === 1 || numGroups === x.dim(0)) return f(x);
  return reshape(f(reshape(x, [numGroups, -1, x.dim(-1)])), x.shape);
}
