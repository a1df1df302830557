// The denoiser as graphs that run one after the other, so that only the weights of one need be in memory.
import { type Graph, verify } from "../../graph/index.ts";
import { UserError, invariant } from "../../tensor/errors.ts";
import { type WanDiTShape, declareInputs } from "./build.ts";
import { type WanDiTConfig, checkWanDiTConfig } from "./config.ts";
import { type KvHook, type KvSharing, MAP_TOTAL, kvHook } from "./kv-sharing.ts";
import { type BlockRange } from "./model.ts";
import { type Part, type PartsLayout, blocksPart, embedPart, headPart } from "./parts.ts";

/** Outputs of a stage that later stages read, by their name there, are named with this in front. */
export const HANDED_ON = "next.";

/**
 * The denoiser in stages: embed, ranges of blocks, head. Together they compute what `buildWanDiT` does with the same
 * options, bit for bit. Inputs and outputs have the names they have there, but for what stages hand on (`HANDED_ON`):
 * a later stage takes the newest value of a name.
 * @param blocksPerStage the last range may be shorter
 * @returns builders, because graphs are used up when they are run, and large ones are not wanted all at once
 */
export function wanDiTStages(
  config: WanDiTConfig,
  shape: WanDiTShape,
  kv: KvSharing | null,
  blocksPerStage: number,
): readonly (() => Graph)[] {
  if (!Number.isInteger(blocksPerStage) || blocksPerStage < 1) {
    throw new UserError(`stages of ${blocksPerStage} blocks; expected a whole number of at least 1`);
  }
  checkWanDiTConfig(config);
  if (kv && (shape.batch ?? 1) !== 1) {
    throw new UserError(`KV-sharing takes one sample per run, because masks differ; got ${shape.batch}`);
  }
  const embed = () => embedPart(config, "", (graph) => declareInputs(graph, config, shape));
  const { layout } = embed();
  const stages = [() => finished(embed())];
  for (let first = 0; first < config.numLayers; first += blocksPerStage) {
    const range = { first, length: Math.min(blocksPerStage, config.numLayers - first) };
    stages.push(() => blocksStage(config, layout, kv, range));
  }
  stages.push(() => {
    const { graph, end } = headPart(config, "", layout);
    graph.output("velocity", end.get("velocity")!);
    verify(graph);
    return graph;
  });
  return stages;
}

function blocksStage(
  config: WanDiTConfig,
  layout: PartsLayout,
  kv: KvSharing | null,
  range: BlockRange,
): Graph {
  const textTokens = layout.shapes.get("text")![1]!;
  const hooks: KvHook[] = [];
  const part = blocksPart(config, "", layout, range, (graph) => {
    if (!kv) return null;
    hooks.push(kvHook(graph, config, kv, { grid: layout.grid, textTokens, range }));
    return hooks[0]!;
  });
  const maps = hooks[0]?.maps;
  if (maps && maps.maps.length > 0) {
    invariant(maps.total, "maps have a sum");
    part.graph.output(HANDED_ON + MAP_TOTAL, maps.total);
  }
  return finished(part);
}

function finished({ graph, end }: Part<string>): Graph {
  for (const [name, value] of end) graph.output(HANDED_ON + name, value);
  verify(graph);
  return graph;
}
