/**
 * One block of the published shape in float32, with weights in bfloat16 and in blocks of 8 and 4 bits, and in int8,
 * side by side in one run, and their errors against float32. The weights are random, and so are the tokens; errors on
 * a trained model's activations are what `posegen models calibrate` prints. Usage:
 *
 *     npx tsx bench/precision.ts [--threads 1] [--runs 7]
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import {
  type Graph,
  blockWiseKeys,
  embedParams,
  linearGroups,
  linearParams,
  matrixParams,
  observeLinears,
  observedName,
  quantizeLinears,
  readBlocks,
  serialize,
  widenAtUse,
} from "../src/graph/index.ts";
import { quantizedParams, smoothingParams } from "../src/models/layers/int8-linears.ts";
import { INT8_TARGETS, quantizeWeight, searchSmoothing } from "../src/models/layers/smooth-quant.ts";
import { declareInputs } from "../src/models/wan-dit/build.ts";
import { blocksPart, embedPart } from "../src/models/wan-dit/parts.ts";
import { Engine } from "../src/runtime/engine.ts";
import { type BlockBits, BLOCK_SIZE, blockBytes, toBlocks } from "../src/tensor/block-wise.ts";
import { float32ToBfloat16 } from "../src/tensor/float16.ts";
import { Random } from "../src/tensor/random.ts";
import { type Tensor, float32, sizeOf } from "../src/tensor/tensor.ts";
import { BLOCK_MODEL, BLOCK_SHAPE, randomFeeds } from "./published-block.ts";

const { values } = parseArgs({
  options: { threads: { type: "string", default: "1" }, runs: { type: "string", default: "7" } },
});
const threads = Number(values.threads);
const numRuns = Number(values.runs);

type Feeds = Record<string, Tensor>;

const { layout } = embedPart(BLOCK_MODEL, "", (graph) => declareInputs(graph, BLOCK_MODEL, BLOCK_SHAPE));

function block(): Graph {
  const part = blocksPart(BLOCK_MODEL, "", layout, { first: 0, length: 1 });
  part.graph.output("tokens", part.end.get("video")!);
  return part.graph;
}

const feeds: Feeds = randomFeeds(block());
// Of deviation 1, as in a trained model: small ones would leave little to round but constants.
for (const [name, { shape }] of block().inputs) {
  feeds[name] = float32(new Random(name).normals(sizeOf(shape)), shape);
}

function engineOf(graph: Graph, given: Feeds): Promise<Engine> {
  const names = [...graph.inputs.keys(), ...graph.params.keys()];
  const inputs = Object.fromEntries(names.map((name) => [name, given[name]!]));
  return Engine.create(serialize(graph), { threads, inputs });
}

function bfloat16Block(): Promise<Engine> {
  const graph = block();
  const matrices = matrixParams(graph);
  const narrow = [...matrices].map((key): [string, Tensor] => {
    const { data, shape } = feeds[key] as Tensor<"float32">;
    return [key, { dtype: "uint16", shape, data: float32ToBfloat16(data) }];
  });
  widenAtUse(graph, new Map(narrow.map(([key]) => [key, "uint16"])));
  return engineOf(graph, { ...feeds, ...Object.fromEntries(narrow) });
}

/** Weights in blocks of few bits, fed: the engine widens them as it does those that it maps from a file. */
async function blockWiseBlock(bits: BlockBits): Promise<Engine> {
  const graph = block();
  const weights = [...linearParams(graph)].filter((key) => INT8_TARGETS.test(key));
  const stored: Feeds = { ...feeds };
  for (const key of weights) {
    const { data, shape } = feeds[key] as Tensor<"float32">;
    const [out, width] = shape as [number, number];
    const keys = blockWiseKeys(key, bits);
    const { values: bytes, scale } = toBlocks(data, bits);
    const numBlocks = width / BLOCK_SIZE;
    stored[keys.values] = { ...bytes, shape: [out, numBlocks, blockBytes(bits)] };
    stored[keys.scale] = { ...scale, shape: [out, numBlocks] };
  }
  readBlocks(graph, new Map(weights.map((key) => [key, bits])));
  return engineOf(graph, stored);
}

async function int8Block(): Promise<Engine> {
  const observed = block();
  observeLinears(observed, linearGroups(observed, INT8_TARGETS));
  const observer = await engineOf(observed, feeds);
  const results = await observer.run({});
  await observer.release();
  const graph = block();
  const groups = linearGroups(graph, INT8_TARGETS);
  const constants = new Map<string, Tensor>();
  for (const { name, weights } of groups) {
    const rows = results[observedName(name)] as Tensor<"float32">;
    const matrices = weights.map((key) => feeds[key] as Tensor<"float32">);
    const smoothing = searchSmoothing([rows], matrices);
    for (const [param, value] of smoothingParams(name, smoothing)) constants.set(param, value);
    weights.forEach((key, i) => {
      const quantized = quantizeWeight(matrices[i]!, smoothing);
      for (const [param, value] of quantizedParams(key, quantized)) constants.set(param, value);
    });
  }
  quantizeLinears(graph, groups);
  embedParams(graph, constants);
  return engineOf(graph, feeds);
}

const engines = {
  float32: await engineOf(block(), feeds),
  "bfloat16 weights": await bfloat16Block(),
  "blocks of 8 bits": await blockWiseBlock(8),
  "blocks of 4 bits": await blockWiseBlock(4),
  int8: await int8Block(),
};
const tokens: Float32Array[] = [];
const milliseconds: number[][] = [];
for (const engine of Object.values(engines)) {
  tokens.push((await engine.run({}))["tokens"]!.data as Float32Array);
  milliseconds.push([]);
}
// By turns, in processor time: other programs on the machine slow all of them down alike.
for (let run = 0; run < numRuns; run++) {
  for (const [i, engine] of Object.values(engines).entries()) {
    const begin = process.cpuUsage();
    await engine.run({});
    const { user, system } = process.cpuUsage(begin);
    milliseconds[i]!.push((user + system) / 1000);
  }
}
console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${threads} of ${cpus().length} threads`);
const medians = milliseconds.map((times) => times.sort((a, b) => a - b)[numRuns >> 1]!);
const input = feeds["video"]!.data as Float32Array;
/** Error of what the block adds to its tokens, relative to its size. */
const errors = tokens.map((got) => {
  const [noise, power] = [got.map((x, i) => x - tokens[0]![i]!), tokens[0]!.map((x, i) => x - input[i]!)];
  return Math.hypot(...blockwise(noise)) / Math.hypot(...blockwise(power));
});
Object.keys(engines).forEach((name, i) =>
  console.log(
    `${name.padEnd(18)} ${medians[i]!.toFixed(0).padStart(6)} ms  ${(medians[i]! / medians[0]!).toFixed(3)} of float32  ` +
      `error ${(100 * errors[i]!).toFixed(3)} %`,
  ),
);

/** Norms of pieces: a call takes no million arguments. */
function blockwise(x: Float32Array): number[] {
  return Array.from({ length: Math.ceil(x.length / 4096) }, (_, i) =>
    Math.hypot(...x.subarray(4096 * i, 4096 * (i + 1))),
  );
}
