// Shapes: L video tokens, R reference tokens, K width of a head.
import { type Graph, type Value } from "../../graph/index.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { type WanDiTConfig } from "./config.ts";

/** Numbers of tokens along time, height and width. */
export type TokenGrid = readonly [frames: number, rows: number, columns: number];

/** Cosines and sines of every token and channel pair, video tokens first: [L + R, K/2]. */
export interface Rope {
  readonly cos: Value;
  readonly sin: Value;
}

/** Splits the K/2 channel pairs of a head over time, height and width, e.g. 64 into 22, 21, 21. */
export function ropePairs(headDim: number): [number, number, number] {
  const spatial = Math.floor(headDim / 6);
  return [headDim / 2 - 2 * spatial, spatial, spatial];
}

/**
 * RoPE angles of [video; reference] in double precision, row-major [L + R, K/2].
 * A reference token has time 0 and its row and column; with `shiftRefPos` the columns run from -columns to -1,
 * so that no reference position coincides with a video position.
 */
export function ropeAngles(config: WanDiTConfig, [frames, rows, columns]: TokenGrid): Float64Array {
  const pairs = ropePairs(config.dim / config.numHeads);
  const frequencies = pairs.map((count) =>
    Float64Array.from({ length: count }, (_, i) => config.ropeTheta ** (-i / count)),
  );
  const refShift = config.shiftRefPos ? -columns : 0;
  const angles = new Float64Array(((frames + 1) * rows * columns * config.dim) / config.numHeads / 2);
  let at = 0;
  for (let frame = 0; frame <= frames; frame++) {
    const isRef = frame === frames;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const position = [isRef ? 0 : frame, row, isRef ? column + refShift : column];
        frequencies.forEach((axis, a) => {
          for (const frequency of axis) angles[at++] = position[a]! * frequency;
        });
      }
    }
  }
  return angles;
}

/** The tables as constants of a graph. */
export function ropeConstants(graph: Graph, config: WanDiTConfig, grid: TokenGrid): Rope {
  const angles = ropeAngles(config, grid);
  const pairs = config.dim / config.numHeads / 2;
  const table = (f: (angle: number) => number): Value => {
    const values = angles.map(f);
    const data: Tensor =
      graph.dtype === "float64"
        ? tensor("float64", [angles.length / pairs, pairs], values)
        : tensor("float32", [angles.length / pairs, pairs], Float32Array.from(values));
    return graph.constant(data);
  };
  return { cos: table(Math.cos), sin: table(Math.sin) };
}
