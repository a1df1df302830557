// The graphs of a training step that goes through the denoiser part by part.
import { type Graph, type Value, dependants, expand, prune, vectorJacobian, verify } from "../graph/index.ts";
import { type LoraOptions, addLora } from "../models/layers/lora.ts";
import { type WanDiTConfig } from "../models/wan-dit/config.ts";
import { type WanDiTInputs } from "../models/wan-dit/embed.ts";
import { type BlockRange } from "../models/wan-dit/model.ts";
import {
  type CarriedName,
  type Part,
  type PartsLayout,
  TOKENS,
  blockKey,
  blocksPart,
  embedPart,
  headPart,
} from "../models/wan-dit/parts.ts";
import { UserError } from "../tensor/errors.ts";

/** A denoiser with what stands before and behind it in training. */
export interface BlockwiseModel {
  readonly config: WanDiTConfig;
  /** The denoiser's keys begin with this; "" where they stand alone. */
  readonly scope: string;
  /** Declares the denoiser's inputs, or computes them from others, e.g. with encoders that are trained as well. */
  readonly inputs: (graph: Graph) => WanDiTInputs;
  /** The scalar loss of a velocity [B, C, f, h, w]; declares further inputs, and metrics as outputs. */
  readonly loss: (velocity: Value) => Value;
}

export interface BlockwiseSettings {
  /** Consecutive blocks that are computed, and differentiated, at a time. */
  readonly blocksPerRange: number;
  readonly lora: LoraOptions | null;
  /** Which parameters get gradients, by key; must say the same of all blocks. */
  readonly isTrainable: (key: string) => boolean;
}

/** Prefixes of what goes in and out of graphs, besides the carried values that they start with. */
export const NAMES = {
  /** Output: a carried value at the end of a part. */
  end: "end:",
  /** Input: the adjoint of a value at the end of a part; output: that of one at its start. */
  endAdjoint: "endAdjoint:",
  startAdjoint: "startAdjoint:",
  /** Output: the gradient of a parameter. */
  gradient: "gradient:",
} as const;

export type { BlockRange };

/** All graphs of a step. Nothing is shared between them: each computes what it needs of its part's forward pass. */
export interface BlockwiseGraphs {
  /** Batch -> carried values. */
  readonly embed: Graph;
  /** Batch and adjoints of carried values -> gradients; null where no parameter of this part is trained. */
  readonly embedBackward: Graph | null;
  readonly ranges: readonly BlockRange[];
  /** By length of a range: carried values -> tokens; carried values and adjoints of tokens -> adjoints, gradients. */
  readonly blocks: ReadonlyMap<number, { readonly forward: Graph; readonly backward: Graph }>;
  /** Video tokens, `headTime` and batch -> loss, metrics, adjoints and gradients. */
  readonly head: Graph;
  readonly layout: PartsLayout;
  /** Shapes of all parameters that get gradients, by key. */
  readonly trainable: ReadonlyMap<string, readonly number[]>;
}

/**
 * Builds the graphs of a step.
 * @throws UserError when ranges are not of whole blocks, or blocks are not all adapted and trained alike
 */
export function blockwiseGraphs(model: BlockwiseModel, settings: BlockwiseSettings): BlockwiseGraphs {
  const { config, scope } = model;
  const { isTrainable } = settings;
  const embed = withLora(embedPart(config, scope, model.inputs), settings);
  const { layout } = embed;
  checkAlike(model, layout, settings);
  const trainedInEmbed = trainedParams(embed.graph, isTrainable);
  const flowing = flowingValues(embed, trainedInEmbed);
  const ranges = blockRanges(config.numLayers, settings.blocksPerRange);
  const blocks: BlockwiseGraphs["blocks"] = new Map(
    [...new Set(ranges.map(({ length }) => length))].map((length) => {
      const build = () => withLora(blocksPart(config, scope, layout, { first: 0, length }), settings);
      return [
        length,
        { forward: forwardGraph(build()), backward: backwardGraph(build(), flowing, isTrainable) },
      ];
    }),
  );
  const head = lossGraph(
    withLora(headPart(config, scope, layout), settings),
    model.loss,
    flowing,
    isTrainable,
  );
  const trainedInBlocks = ranges.flatMap(({ first, length }) =>
    trainedParams(blocks.get(length)!.forward, isTrainable).map(
      ({ name, shape }) => [blockKey(scope, name, first), shape] as const,
    ),
  );
  const again = () => withLora(embedPart(config, scope, model.inputs), settings);
  return {
    embed: forwardGraph(embed),
    embedBackward: trainedInEmbed.length > 0 ? backwardGraph(again(), flowing, isTrainable) : null,
    ranges,
    blocks,
    head,
    layout,
    trainable: new Map([
      ...trainedInEmbed.map(({ name, shape }) => [name, shape] as const),
      ...trainedInBlocks,
      ...trainedParams(head, isTrainable).map(({ name, shape }) => [name, shape] as const),
    ]),
  };
}

function blockRanges(numBlocks: number, blocksPerRange: number): BlockRange[] {
  if (!Number.isInteger(blocksPerRange) || blocksPerRange < 1) {
    throw new UserError(`ranges of ${blocksPerRange} blocks; expected a whole number of at least 1`);
  }
  return Array.from({ length: Math.ceil(numBlocks / blocksPerRange) }, (_, i) => ({
    first: i * blocksPerRange,
    length: Math.min(blocksPerRange, numBlocks - i * blocksPerRange),
  }));
}

/** One graph serves all ranges of a length, so no block may differ from the others in what is adapted or trained. */
function checkAlike(
  { config, scope }: BlockwiseModel,
  layout: PartsLayout,
  settings: BlockwiseSettings,
): void {
  const { graph } = withLora(blocksPart(config, scope, layout, { first: 0, length: 1 }), settings);
  const isAdapted = (key: string) => settings.lora?.targets.test(key) ?? false;
  for (let block = 1; block < config.numLayers; block++) {
    for (const key of graph.params.keys()) {
      const other = blockKey(scope, key, block);
      if ([settings.isTrainable, isAdapted].every((holds) => holds(key) === holds(other))) continue;
      throw new UserError(
        `${key} and ${other} are not both trained, or not both adapted; training block by block ` +
          "treats all blocks alike: choose the same layers in every block, or train the whole graph at once",
      );
    }
  }
}

function withLora<P extends Part<string>>(part: P, { lora }: BlockwiseSettings): P {
  const isAdapted = lora && [...part.graph.params.keys()].some((key) => lora.targets.test(key));
  if (isAdapted) addLora(part.graph, lora);
  return part;
}

function trainedParams(graph: Graph, isTrainable: (key: string) => boolean): Value[] {
  return [...graph.params.values()].filter(({ name }) => isTrainable(name));
}

/** Carried values whose adjoints are needed: of tokens always, for the blocks in front; else for embed's parameters. */
function flowingValues({ graph, end }: Part<CarriedName>, trained: readonly Value[]): Set<CarriedName> {
  const influenced = dependants(graph, trained);
  const names = [...end].flatMap(([name, value]) => (influenced.has(value) ? [name] : []));
  return new Set([...TOKENS, ...names]);
}

function forwardGraph({ graph, end }: Part<string>): Graph {
  for (const [name, value] of end) graph.output(NAMES.end + name, value);
  verify(graph);
  return graph;
}

/** Recomputes the part and differentiates it; nothing of the forward pass is computed that no adjoint needs. */
function backwardGraph(
  part: Part<CarriedName>,
  flowing: ReadonlySet<CarriedName>,
  isTrainable: (key: string) => boolean,
): Graph {
  const { graph, end } = part;
  const seeds = new Map<Value, Value>();
  for (const [name, value] of end) {
    if (flowing.has(name)) seeds.set(value, graph.input(NAMES.endAdjoint + name, value.shape));
  }
  addAdjoints(part, seeds, flowing, isTrainable);
  prune(graph);
  verify(graph);
  return graph;
}

/** Velocity, loss and their adjoints in one. */
function lossGraph(
  part: Part<"velocity">,
  lossOf: (velocity: Value) => Value,
  flowing: ReadonlySet<CarriedName>,
  isTrainable: (key: string) => boolean,
): Graph {
  const { graph, end } = part;
  const loss = lossOf(end.get("velocity")!);
  graph.output("loss", loss);
  addAdjoints(part, new Map([[loss, expand(graph.scalar(1), loss.shape)]]), flowing, isTrainable);
  verify(graph);
  return graph;
}

/** Makes the adjoints of flowing values at the start, and the gradients of trained parameters, outputs. */
function addAdjoints(
  { graph, start }: Part<string>,
  seeds: ReadonlyMap<Value, Value>,
  flowing: ReadonlySet<CarriedName>,
  isTrainable: (key: string) => boolean,
): void {
  const targets = new Map<string, Value>();
  for (const [name, value] of start) if (flowing.has(name)) targets.set(NAMES.startAdjoint + name, value);
  for (const param of trainedParams(graph, isTrainable)) targets.set(NAMES.gradient + param.name, param);
  const adjoints = vectorJacobian(seeds, [...targets.values()]);
  [...targets.keys()].forEach((name, i) => graph.output(name, adjoints[i]!));
}
