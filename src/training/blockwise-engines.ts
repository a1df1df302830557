import { type Graph } from "../graph/index.ts";
import { blockKey } from "../models/wan-dit/parts.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { type BlockRange, type BlockwiseGraphs } from "./blockwise-graphs.ts";
import { PartEngine } from "./blockwise-part.ts";
import {
  type FrozenWeights,
  RangeWeights,
  type StoredParams,
  checkSameTypes,
  storedParams,
  takeAsStored,
} from "./blockwise-weights.ts";

/** The graphs of a step, ready to run, and the frozen weights that they take. */
export interface BlockwiseEngines {
  readonly embed: PartEngine;
  readonly embedBackward: PartEngine | null;
  /** By length of a range. */
  readonly blocks: ReadonlyMap<number, BlockEngines>;
  readonly head: PartEngine;
  /** Null where all weights of the blocks are given to each run. */
  readonly weights: RangeWeights | null;
  release(): Promise<void>;
}

interface BlockEngines {
  readonly forward: PartEngine;
  readonly backward: PartEngine;
}

export interface EngineOptions {
  readonly scope: string;
  readonly isTrainable: (key: string) => boolean;
  readonly frozen: FrozenWeights | null;
  readonly threads: number;
}

/**
 * Makes engines of the graphs, which are used up. Frozen weights of embed and head are read for good, those of blocks
 * left to `weights`.
 * @throws UserError when the checkpoint does not fit the model
 */
export async function createEngines(
  graphs: BlockwiseGraphs,
  options: EngineOptions,
): Promise<BlockwiseEngines> {
  const { frozen, threads } = options;
  const opened: { release(): Promise<void> }[] = [];
  const release = async (): Promise<void> => {
    for (const resource of opened.splice(0)) await resource.release();
  };
  const kept = async <R extends { release(): Promise<void> }>(creation: Promise<R>): Promise<R> => {
    const resource = await creation;
    opened.push(resource);
    return resource;
  };
  try {
    const bound = async (graph: Graph, name: string): Promise<PartEngine> =>
      kept(PartEngine.create(graph, await boundWeights(graph, options), { name, threads }));
    const stored = storedOfRanges(graphs, options);
    const blocks = new Map<number, BlockEngines>();
    for (const [length, { forward, backward }] of graphs.blocks) {
      blocks.set(length, {
        forward: await kept(PartEngine.create(forward, {}, { name: "forward pass of blocks", threads })),
        backward: await kept(PartEngine.create(backward, {}, { name: "backward pass of blocks", threads })),
      });
    }
    const { embed, embedBackward, head } = graphs;
    return {
      embed: await bound(embed, "embedding"),
      embedBackward: embedBackward && (await bound(embedBackward, "backward pass of the embedding")),
      blocks,
      head: await bound(head, "head and loss"),
      weights: frozen && (await kept(RangeWeights.open(frozen.checkpoint, stored))),
      release,
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Where the frozen weights of each range are. Makes the graphs of the blocks take them as they are stored. */
function storedOfRanges(
  { blocks, ranges }: BlockwiseGraphs,
  { frozen, scope, isTrainable }: EngineOptions,
): Map<BlockRange, StoredParams> {
  const stored = new Map<BlockRange, StoredParams>();
  if (!frozen) return stored;
  for (const [length, { forward, backward }] of blocks) {
    const ofLength = ranges.filter((range) => range.length === length);
    const all = ofLength.map(({ first }) =>
      storedParams(forward, frozen, isTrainable, (name) => blockKey(scope, name, first)),
    );
    for (const each of all) checkSameTypes(all[0]!, each, frozen.checkpoint);
    takeAsStored(forward, all[0]!, frozen.checkpoint);
    takeAsStored(backward, all[0]!, frozen.checkpoint);
    ofLength.forEach((range, i) => stored.set(range, all[i]!));
  }
  return stored;
}

/** Reads the frozen weights of a graph, and makes it take them as they are stored. */
async function boundWeights(
  graph: Graph,
  { frozen, isTrainable }: EngineOptions,
): Promise<Record<string, Tensor>> {
  if (!frozen) return {};
  const stored = storedParams(graph, frozen, isTrainable);
  takeAsStored(graph, stored, frozen.checkpoint);
  const weights: Record<string, Tensor> = {};
  for (const [name, key] of stored) weights[name] = await frozen.checkpoint.readTensor(key);
  return weights;
}
