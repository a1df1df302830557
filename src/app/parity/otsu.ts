/** Otsu's threshold against the published one. */
import { join } from "node:path";
import { Graph, serialize } from "../../graph/index.ts";
import { otsu } from "../../models/layers/otsu.ts";
import { Engine } from "../../runtime/engine.ts";
import { openSafetensors } from "../../runtime/safetensors.ts";
import { float32 } from "../../tensor/tensor.ts";
import { type ParityCheck, compare } from "./rows.ts";

/** Thresholds are float32 numbers near 1: equal up to their last bit. */
const TOLERANCE = 1e-7;

export const otsuCheck: ParityCheck = {
  folder: "otsu",
  async run(dir) {
    const maps = await (await openSafetensors(join(dir, "inputs.safetensors"))).readFloat32("maps");
    const golden = await openSafetensors(join(dir, "outputs.safetensors"));
    const shape = [maps.shape[0]!, maps.data.length / maps.shape[0]!];
    const graph = new Graph();
    const { threshold, mask } = otsu(graph.input("maps", shape));
    graph.output("thresholds", threshold);
    graph.output("masks", mask);
    const engine = await Engine.create(serialize(graph));
    const { thresholds, masks } = await engine.run({ maps: float32(maps.data, shape) });
    await engine.release();
    return [
      compare("thresholds", thresholds!, await golden.readTensor("thresholds"), "absolute", TOLERANCE),
      compare("masks", masks!, await golden.readTensor("masks"), "unequal", 0),
    ];
  },
};
