// Shapes: latents [B, C, f, h, w]; a patch (t, p, q) turns them into L = f/t · h/p · w/q tokens.
import { type Scope, type Value, linear, rearrange, reshape } from "../../graph/index.ts";

/** Size of a patch in latent frames, rows and columns. */
export type PatchSize = readonly [number, number, number];

/**
 * Patch embedding: a convolution whose stride is its kernel, done as one matrix product.
 * Keys `weight` [D, C, t, p, q] and `bias` [D]; latents [B, C, f, h, w] -> tokens [B, L, D], ordered frame, row,
 * column.
 */
export function patchEmbed(s: Scope, latents: Value, dim: number, [t, p, q]: PatchSize): Value {
  const channels = latents.dim(1);
  const weight = s.param("weight", [dim, channels, t, p, q]);
  const patches = rearrange(latents, "B C (F t) (H p) (W q) -> B (F H W) (C t p q)", { t, p, q });
  return linear(patches, reshape(weight, [dim, -1]), s.param("bias", [dim]));
}

/** Tokens [B, L, t·p·q·C], channel fastest, back to latents [B, C, f, h, w]. `grid` counts patches per axis. */
export function unpatchify(tokens: Value, [F, H, W]: PatchSize, [t, p, q]: PatchSize): Value {
  return rearrange(tokens, "B (F H W) (t p q C) -> B C (F t) (H p) (W q)", { F, H, W, t, p, q });
}
