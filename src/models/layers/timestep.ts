import { type Value, cast, concat, cos, mul, reshape, sin } from "../../graph/index.ts";
import { tensor } from "../../tensor/tensor.ts";

const MAX_PERIOD = 10000;

/**
 * Sinusoidal embedding of timesteps (0-1000): [G] -> [G, dim], cosines first, frequencies 10000^(-i / (dim/2)).
 * Computed in double precision: in single, the phase t · frequency would already be off by 3e-5 at t = 1000.
 */
export function timestepSinusoid(timesteps: Value, dim: number): Value {
  const half = dim / 2;
  const frequencies = Float64Array.from({ length: half }, (_, i) => MAX_PERIOD ** (-i / half));
  const row = timesteps.graph.constant(tensor("float64", [1, half], frequencies));
  const phase = mul(reshape(cast(timesteps, "float64"), [-1, 1]), row);
  return cast(concat([cos(phase), sin(phase)], 1), timesteps.dtype);
}
