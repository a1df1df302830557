/** Whether the VAE works in tiles: by request, or where whole frames would take too much memory. */
import type { ModelDescription } from "../diffusion/model-folder.ts";
import type { SegmentSize } from "../diffusion/loaded-model.ts";
import { type VaeCost, vaeBytes, vaeCost } from "../diffusion/vae-cost.ts";
import { freeMemoryBytes } from "../runtime/measure.ts";
import { readSettings } from "./read-work-directory.ts";
import type { CheckedGenerateRequest } from "./request.ts";

/** Name of the choice among a run's settings, where it is "on" or "off". */
export const VAE_TILING = "vaeTiling";

/** The share of the free memory that `auto` lets the VAE have; the denoiser's graphs stay beside it. */
const VAE_SHARE = 0.5;

export interface VaeTiling {
  readonly numTiles: number;
  /** Pixels of a tile. */
  readonly width: number;
  readonly height: number;
}

/**
 * The tiles of a run's frames; null where frames stay whole. `auto` goes on as an earlier run in the work directory
 * has begun; otherwise it cuts frames whose VAE would take more than the budget.
 * @param size of a segment
 * @param workDir of the run, where it may have begun
 * @param notify told why `auto` cuts
 */
export async function chooseTiling(
  { vaeTiling, resume }: Pick<CheckedGenerateRequest, "vaeTiling" | "resume">,
  { vae }: Pick<ModelDescription, "vae">,
  size: SegmentSize,
  workDir: string,
  notify: (message: string) => void,
  budgetBytes = VAE_SHARE * freeMemoryBytes(),
): Promise<VaeTiling | null> {
  if (vaeTiling === "off") return null;
  const tiled = vaeCost(vae, size, true);
  if (tiled.numTiles === 1) return null;
  if (vaeTiling === "on") return tilesOf(tiled);
  const begun = resume ? (await readSettings(workDir))?.[VAE_TILING] : undefined;
  if (begun !== undefined) return begun === "on" ? tilesOf(tiled) : null;
  const wholeBytes = vaeBytes(vaeCost(vae, size, false));
  if (wholeBytes <= budgetBytes) return null;
  const { numTiles, tileWidth, tileHeight } = tiled;
  notify(
    `the VAE works in ${numTiles} tiles of ${tileWidth}x${tileHeight} pixels: whole frames would take about ` +
      `${gibibytes(wholeBytes)} of memory, tiles ${gibibytes(vaeBytes(tiled))}; --vae-tiling off keeps them whole`,
  );
  return tilesOf(tiled);
}

function tilesOf({ numTiles, tileWidth, tileHeight }: VaeCost): VaeTiling {
  return { numTiles, width: tileWidth, height: tileHeight };
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
