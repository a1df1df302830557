// Shapes: a group of n matrices of the same shape [R, C]
import { Graph, type Value, add, div, matmul, mul, sqrt, sum, transpose } from "../graph/index.ts";
import { serialize } from "../graph/serialize.ts";
import { Engine } from "../runtime/engine.ts";
import { invariant } from "../tensor/errors.ts";
import { float32 } from "../tensor/tensor.ts";
import { type Arrays, type Optimizer, zerosLike } from "./optimizer.ts";

/** Coefficients of the quintic iteration that drives singular values towards 1 (Jordan et al., 2024). */
const [A, B, C] = [3.4445, -4.775, 2.0315];
const NUM_ITERATIONS = 5;
const MOMENTUM = 0.95;
/** Brings the size of an update to that of AdamW, so that both share one learning rate (Liu et al., 2025). */
const UPDATE_RMS = 0.2;

export interface MuonOptions {
  /** Shapes [out, in] of the matrices that Muon updates; every other parameter goes to `rest`. */
  readonly matrices: ReadonlyMap<string, readonly [number, number]>;
  readonly rest: Optimizer;
  readonly weightDecay: number;
  readonly threads: number;
}

interface MatrixGroup {
  readonly name: string;
  readonly shape: readonly [number, number];
  readonly keys: readonly string[];
}

/**
 * Muon (Jordan et al., 2024): momentum, then the nearest orthogonal matrix instead of the momentum itself, so that
 * all directions of a weight matrix learn at one pace. For the weight matrices of transformer blocks.
 */
export async function muon(options: MuonOptions): Promise<Optimizer> {
  const { matrices, rest, weightDecay } = options;
  const groups = groupByShape(matrices);
  const engine = await Engine.create(serialize(buildOrthogonalizer(groups)), {
    name: "Muon update",
    threads: options.threads,
  });
  const others = (arrays: Arrays): Arrays =>
    Object.fromEntries(Object.entries(arrays).filter(([key]) => !matrices.has(key)));
  return {
    init(params) {
      const own = Object.fromEntries(Object.entries(params).filter(([key]) => matrices.has(key)));
      const { step, moments } = rest.init(others(params));
      return { step, moments: { ...moments, momentum: zerosLike(own) } };
    },
    async update(params, gradients, state, learningRate) {
      await rest.update(others(params), gradients, state, learningRate);
      const momentum = state.moments["momentum"];
      invariant(momentum, "the optimiser's state has no momentum");
      const feeds = groups.map(
        (group) => [inputName(group.name), stackDirections(group, momentum, gradients)] as const,
      );
      const directions = await engine.run(Object.fromEntries(feeds));
      for (const { name, shape, keys } of groups) {
        const stack = directions[name]!.data as Float32Array;
        const [rows, columns] = shape;
        const rate = learningRate * UPDATE_RMS * Math.sqrt(Math.max(rows, columns));
        const keep = 1 - learningRate * weightDecay;
        keys.forEach((key, n) => {
          const theta = params[key]!;
          const from = n * rows * columns;
          for (let i = 0; i < theta.length; i++) theta[i] = keep * theta[i]! - rate * stack[from + i]!;
        });
      }
    },
  };
}

/** m ← μ m + g in place; the direction to orthogonalise is Nesterov's, μ m + g. Stacked to [n, R, C]. */
function stackDirections({ shape, keys }: MatrixGroup, momentum: Arrays, gradients: Arrays) {
  const size = shape[0] * shape[1];
  const stack = new Float32Array(keys.length * size);
  keys.forEach((key, n) => {
    const [m, g] = [momentum[key], gradients[key]];
    invariant(m && g && g.length === size, `no gradient or momentum of the right size for ${key}`);
    for (let i = 0; i < size; i++) {
      m[i] = MOMENTUM * m[i]! + g[i]!;
      stack[n * size + i] = MOMENTUM * m[i]! + g[i]!;
    }
  });
  return float32(stack, [keys.length, ...shape]);
}

function groupByShape(matrices: MuonOptions["matrices"]): MatrixGroup[] {
  const groups = new Map<string, { shape: readonly [number, number]; keys: string[] }>();
  for (const [key, shape] of matrices) {
    const name = shape.join("x");
    const group = groups.get(name) ?? { shape, keys: [] };
    group.keys.push(key);
    groups.set(name, group);
  }
  return [...groups].map(([name, group]) => ({ name, ...group }));
}

function buildOrthogonalizer(groups: readonly MatrixGroup[]): Graph {
  const graph = new Graph();
  for (const { name, shape, keys } of groups) {
    graph.output(name, orthogonalize(graph.input(inputName(name), [keys.length, ...shape])));
  }
  return graph;
}

/** X ← a X + (b A + c A²) X with A = X Xᵀ, from X = G / |G|, on the wide orientation of the matrices. */
function orthogonalize(g: Value): Value {
  const tall = g.dim(1) > g.dim(2);
  const turn = (x: Value): Value => (tall ? transpose(x, [0, 2, 1]) : x);
  const norm = sqrt(sum(mul(g, g), [1, 2]));
  let x = turn(div(g, add(norm, 1e-7)));
  for (let i = 0; i < NUM_ITERATIONS; i++) {
    const gram = matmul(x, transpose(x, [0, 2, 1]));
    const polynomial = add(mul(gram, B), mul(matmul(gram, gram), C));
    x = add(mul(x, A), matmul(polynomial, x));
  }
  return turn(x);
}

/** Inputs and outputs of a graph may not share names. */
function inputName(group: string): string {
  return `direction ${group}`;
}
