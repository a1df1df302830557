import { expect, test } from "vitest";
import { serialize } from "../graph/index.ts";
import { sampleTensor } from "../graph/testing.ts";
import { LORA_TARGETS, addLora } from "../models/layers/lora.ts";
import { buildWanDiT } from "../models/wan-dit/build.ts";
import { WAN_DIT_PRESETS } from "../models/wan-dit/config.ts";
import { Engine } from "../runtime/engine.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, sizeOf } from "../tensor/tensor.ts";
import { WAN_DIT_INIT, initialize } from "./init.ts";

const shape = { latentFrames: 3, latentHeight: 6, latentWidth: 4, textTokens: 7, imageTokens: 5 };

/** Larger than tiny: matrices that fill the blocks of fast kernels, and ones that do not. */
const CONFIGS = {
  tiny: WAN_DIT_PRESETS.tiny,
  wider: { ...WAN_DIT_PRESETS.tiny, dim: 144, numHeads: 3, ffnDim: 200 },
};

test.each(Object.entries(CONFIGS))(
  "%s: fresh pairs leave the denoiser as it is, bit for bit",
  async (_name, config) => {
    const graphs = [buildWanDiT(config, shape), buildWanDiT(config, shape)] as const;
    const added = addLora(graphs[1], { rank: 16, scale: 1, targets: LORA_TARGETS });
    expect(added.size).toBe(10 * config.numLayers);

    const feeds: Record<string, Tensor> = {};
    [...graphs[0].inputs.values(), ...graphs[0].params.values()].forEach(({ name, shape: size }, i) => {
      const width = sizeOf(size.slice(1));
      const high = graphs[0].params.has(name) && width > 1 ? Math.sqrt(3 / width) : 1;
      feeds[name] = sampleTensor(size, i + 1, { low: -high, high, dtype: "float32" }) as Tensor;
    });
    const pairs = new Map(
      [...added.values()].flatMap(({ a, b }) => [a, b]).map((value) => [value.name, value.shape]),
    );
    const fresh = initialize(pairs, { "": WAN_DIT_INIT }, new Random(1));
    expect(Object.values(fresh).some(({ data }) => data.some((x) => x !== 0))).toBe(true);

    const [plain, withPairs] = await Promise.all(
      graphs.map(async (graph, i) => {
        const engine = await Engine.create(serialize(graph));
        const { velocity } = await engine.run(i === 0 ? feeds : { ...feeds, ...fresh });
        await engine.release();
        return velocity!.data as Float32Array;
      }),
    );
    expect(Math.max(...plain!.map(Math.abs))).toBeGreaterThan(0.1);
    expect(withPairs).toEqual(plain);
  },
);
