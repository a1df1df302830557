// The denoiser in parts that run one after the other, each a graph of its own: embed, blocks, blocks, …, head.
// Shapes: B batch, L video tokens, R reference tokens, M text tokens, N image tokens, D width, G modulation groups.
import { Graph, type Value } from "../../graph/index.ts";
import { invariant } from "../../tensor/errors.ts";
import { type Context } from "./attention.ts";
import { type Stream, type Streams } from "./block.ts";
import { type WanDiTConfig } from "./config.ts";
import { type WanDiTInputs, embed } from "./embed.ts";
import { type KvHook } from "./kv-sharing.ts";
import { type BlockRange, ditBlocks, head } from "./model.ts";
import { type TokenGrid } from "./rope.ts";
import { unpatchify } from "../layers/patch.ts";

/**
 * What parts hand on: the tokens `video` [B, L, D] and `ref` [B, R, D], which every block changes; and, from embed to
 * all others, the time vectors `videoTime` and `refTime` [G, 6, D], the time embedding `headTime` [G, D], and what
 * cross-attention reads, `text` [B, M, D] and `image` [B, N, D], the latter only where the model has it.
 */
export type CarriedName = "video" | "ref" | "videoTime" | "refTime" | "headTime" | "text" | "image";

/** The carried values that every block replaces. */
export const TOKENS = ["video", "ref"] as const satisfies readonly CarriedName[];

/** A part of the denoiser as an unfinished graph: what is done with `end`, its user decides. */
export interface Part<End extends string> {
  readonly graph: Graph;
  /** Carried values that the part reads, as inputs of the graph under their own names. */
  readonly start: ReadonlyMap<CarriedName, Value>;
  /** What the part computes. */
  readonly end: ReadonlyMap<End, Value>;
}

/** Sizes that follow from a model's inputs and that the parts after embed are built for. */
export interface PartsLayout {
  readonly grid: TokenGrid;
  readonly shapes: ReadonlyMap<CarriedName, readonly number[]>;
}

/** The first part: latents, timestep, text and image features -> all carried values. */
export interface EmbedPart extends Part<CarriedName> {
  readonly layout: PartsLayout;
}

/**
 * @param scope keys of the denoiser's parameters begin with this; "" for a checkpoint of the denoiser alone
 * @param inputs declares the denoiser's inputs in the graph (see `declareInputs`), or computes them
 */
export function embedPart(
  config: WanDiTConfig,
  scope: string,
  inputs: (graph: Graph) => WanDiTInputs,
): EmbedPart {
  const graph = new Graph();
  const { video, ref, context, time, grid } = embed(graph.scope(scope), config, inputs(graph));
  const end = new Map<CarriedName, Value>([
    ["video", video.x],
    ["ref", ref.x],
    ["videoTime", video.time],
    ["refTime", ref.time],
    ["headTime", time.video],
    ["text", context.text],
  ]);
  if (context.image) end.set("image", context.image);
  const shapes = new Map([...end].map(([name, { shape }]) => [name, shape]));
  return { graph, start: new Map(), end, layout: { grid, shapes } };
}

/**
 * Consecutive blocks. A range that begins with block 0 serves all ranges of its length, wherever they are in the model
 * (see `blockKey`).
 * @param sharing gives the hook of KV-sharing for this graph
 */
export function blocksPart(
  config: WanDiTConfig,
  scope: string,
  { grid, shapes }: PartsLayout,
  range: BlockRange,
  sharing: (graph: Graph) => KvHook | null = () => null,
): Part<(typeof TOKENS)[number]> {
  const graph = new Graph();
  const start = new Map<CarriedName, Value>();
  const carried = (name: CarriedName): Value | null => {
    const shape = shapes.get(name);
    if (!shape) return null;
    const value = graph.input(name, shape);
    start.set(name, value);
    return value;
  };
  const stream = (x: CarriedName, time: CarriedName): Stream => ({ x: carried(x)!, time: carried(time)! });
  const streams: Streams = { video: stream("video", "videoTime"), ref: stream("ref", "refTime") };
  const context: Context = { text: carried("text")!, image: carried("image") };
  const blocks = graph.scope(scope).in("blocks");
  const last = ditBlocks(blocks, config, streams, context, grid, sharing(graph), range).at(-1);
  invariant(last, "a part has at least one block");
  const end = new Map(TOKENS.map((name) => [name, last[name].x] as const));
  return { graph, start, end };
}

/** The key in the model of a parameter of a `blocksPart` whose first block is block `first` of the model. */
export function blockKey(scope: string, key: string, first: number): string {
  const prefix = scope === "" ? "blocks." : `${scope}.blocks.`;
  invariant(key.startsWith(prefix), `${key} is no block's`);
  const [number, ...rest] = key.slice(prefix.length).split(".");
  return `${prefix}${Number(number) + first}.${rest.join(".")}`;
}

/** The last part: video tokens -> velocity [B, 16, f, h, w]. */
export function headPart(
  config: WanDiTConfig,
  scope: string,
  { grid, shapes }: PartsLayout,
): Part<"velocity"> {
  const graph = new Graph();
  const tokens = graph.input("video", shapes.get("video")!);
  const time = graph.input("headTime", shapes.get("headTime")!);
  const patches = head(graph.scope(scope).in("head"), config, tokens, time);
  return {
    graph,
    start: new Map([
      ["video", tokens],
      ["headTime", time],
    ]),
    end: new Map([["velocity", unpatchify(patches, grid, config.patchSize)]]),
  };
}
