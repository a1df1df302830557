import { join } from "node:path";
import { z } from "zod";
import { openSafetensors } from "../../runtime/safetensors.ts";
import { torchNoise } from "../../tensor/torch-noise.ts";
import { maxAbsError, readConfig, row, toleranceSchema, uncheckedRow, type ParityCheck } from "./check.ts";

const configSchema = z.object({ tolerance: toleranceSchema });

export const noise: ParityCheck = {
  folder: "noise",
  what: /torch\.randn/,
  async run(dir) {
    const { tolerance } = await readConfig(dir, configSchema);
    const golden = await openSafetensors(join(dir, "outputs.safetensors"));
    const rows = [...golden.tensors].map(async ([name, { shape }]) => {
      const seed = /^seed(\d+)_/.exec(name)?.[1];
      if (seed === undefined) return uncheckedRow(name);
      const { data } = await golden.readFloat32(name);
      return row(name, maxAbsError(torchNoise(shape, Number(seed)).data, data), tolerance);
    });
    return Promise.all(rows);
  },
};
