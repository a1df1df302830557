/** A segment's conditions against the published ones: masks, pasted frames, latents. */
import { join } from "node:path";
import { z } from "zod";
import { type KeptFrames, NOTHING_KEPT, encodeConditions, keepMask } from "../../diffusion/conditions.ts";
import { openCheckpoint } from "../../runtime/checkpoint.ts";
import { type Checkpoint, openSafetensors } from "../../runtime/safetensors.ts";
import { framesOfPixels, framesOfPlanes, openVae, vaeConfigSchema, wanVaeConfig } from "./vae-fixture.ts";
import { type ParityCheck, type ParityRow, compare, parityRow, readConfig } from "./rows.ts";

const TOLERANCE = 5e-5;

const configSchema = z.object({
  /** Relative to the fixture's folder. */
  vae_weights: z.string(),
  vae_config: vaeConfigSchema,
});

export const condCheck: ParityCheck = {
  folder: "cond",
  async run(dir) {
    const config = await readConfig(dir, configSchema);
    const golden = await openSafetensors(join(dir, "outputs.safetensors"));
    const inputs = await openSafetensors(join(dir, "inputs.safetensors"));
    const vae = openVae(wanVaeConfig(config.vae_config), await openCheckpoint(join(dir, config.vae_weights)));
    const kept: KeptFrames = {
      head: framesOfPixels(await inputs.readTensor("head_frames_u8")),
      tail: framesOfPixels(await inputs.readTensor("tail_frames_u8")),
    };
    const driving = {
      skeleton: framesOfPlanes(await inputs.readTensor("pose_u8")),
      handNormals: framesOfPlanes(await inputs.readTensor("hand_u8")),
    };
    const full = await encodeConditions(vae, driving, kept);
    const free = await encodeConditions(vae, driving, NOTHING_KEPT);
    await vae.release();
    const latents = new Map([
      ["full.cond_latents", full.cond],
      ["full.hand_latents", full.hand],
      ["nohead.cond_latents", free.cond],
      ["nohead.hand_latents", free.hand],
    ]);

    const rows: ParityRow[] = [];
    for (const key of golden.tensors.keys()) {
      const result = latents.get(key);
      rows.push(
        result
          ? compare(key, result, await golden.readTensor(key), "relative", TOLERANCE)
          : await checkMask(key, golden),
      );
    }
    return rows;
  },
};

/** A mask's name tells its frames, e.g. mask81_head21_tail20; its shape tells the latent size. */
async function checkMask(key: string, golden: Checkpoint): Promise<ParityRow> {
  const numbers = /^mask(\d+)(?:_none)?(?:_head(\d+))?(?:_tail(\d+))?$/.exec(key);
  if (!numbers) return parityRow(`${key} (unknown tensor)`, Infinity, 0);
  const [numFrames, head, tail] = numbers.slice(1).map((digits) => Number(digits ?? 0));
  const expected = await golden.readTensor(key);
  const [, , height, width] = expected.shape as [number, number, number, number];
  return compare(key, keepMask(numFrames!, head!, tail!, height, width), expected, "unequal", 0);
}
