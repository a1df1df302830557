import { Graph, type Node, type Value, prune, serialize } from "../graph/index.ts";
import { type WanVaeConfig } from "../models/wan-vae/config.ts";
import { FeatureCache } from "../models/wan-vae/feature-cache.ts";
import { decodeFeatures, encodeMoments } from "../models/wan-vae/model.ts";
import { Engine } from "../runtime/engine.ts";
import { invariant } from "../tensor/errors.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { type Params } from "./train.ts";

/** The input and the output of a convolution, [1, C, T, H, W] each. */
export interface LayerFeatures {
  readonly input: Tensor<"float32">;
  readonly output: Tensor<"float32">;
}

/** Runs the whole autoencoder on a clip and shows what its convolutions get and make. */
export class VaeProbe {
  private constructor(
    private readonly engine: Engine,
    private readonly layers: readonly string[],
  ) {}

  /** @param layers scope paths of convolutions, e.g. "encoder.conv1" */
  static async open(
    config: WanVaeConfig,
    videoShape: readonly number[],
    layers: readonly string[],
  ): Promise<VaeProbe> {
    const graph = new Graph();
    const video = graph.input("video", videoShape);
    const { mu } = encodeMoments(config, new FeatureCache(graph, "start"), video);
    graph.output("mu", mu);
    graph.output("decoded", decodeFeatures(config, new FeatureCache(graph, "start"), mu));
    for (const layer of layers) {
      const node = convolutionOf(graph, `${layer}.weight`);
      graph.output(`in:${layer}`, node.inputs[0]!);
      graph.output(`out:${layer}`, node.outputs[0]!);
    }
    prune(graph);
    return new VaeProbe(await Engine.create(serialize(graph), { name: "VAE probe" }), layers);
  }

  /** Features of the layers, and the latents `mu` and the picture `decoded`. */
  async run(
    params: Params,
    video: Tensor,
  ): Promise<{
    readonly layers: ReadonlyMap<string, LayerFeatures>;
    readonly mu: Tensor<"float32">;
    readonly decoded: Tensor<"float32">;
  }> {
    const results = (await this.engine.run({ ...params, video })) as Record<string, Tensor<"float32">>;
    const layers = new Map(
      this.layers.map((layer) => [
        layer,
        { input: results[`in:${layer}`]!, output: results[`out:${layer}`]! },
      ]),
    );
    return { layers, mu: results["mu"]!, decoded: results["decoded"]! };
  }

  release(): Promise<void> {
    return this.engine.release();
  }
}

/** The convolution whose kernel is made from a parameter. */
function convolutionOf(graph: Graph, key: string): Node {
  const weight = graph.params.get(key);
  invariant(weight, `the graph has no parameter ${key}`);
  const derived = new Set<Value>([weight]);
  for (const node of graph.nodes) {
    if (!node.inputs.some((input) => input !== null && derived.has(input))) continue;
    if (node.op === "Conv") return node;
    for (const output of node.outputs) derived.add(output);
  }
  throw new Error(`no convolution uses ${key}`);
}
