import { join } from "node:path";
import { z } from "zod";
import { openSafetensors } from "../../runtime/safetensors.ts";
import { torchNoise } from "../../tensor/torch-noise.ts";
import { compare, readConfig, toleranceSchema, unknownRow, type ParityCheck } from "./rows.ts";

const configSchema = z.object({ tolerance: toleranceSchema });

export const noiseCheck: ParityCheck = {
  folder: "noise",
  async run(dir) {
    const { tolerance } = await readConfig(dir, configSchema);
    const golden = await openSafetensors(join(dir, "outputs.safetensors"));
    const rows = [...golden.tensors].map(async ([name, { shape }]) => {
      const seed = /^seed(\d+)_/.exec(name)?.[1];
      if (seed === undefined) return unknownRow(name);
      return compare(
        name,
        torchNoise(shape, Number(seed)),
        await golden.readTensor(name),
        "absolute",
        tolerance,
      );
    });
    return Promise.all(rows);
  },
};
