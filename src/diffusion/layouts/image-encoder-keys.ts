import { type KeyRow, rows } from "./key-table.ts";

const LAYER = "vision_model.encoder.layers.*";

/**
 * Transformers' names of the CLIP vision tower (`image_encoder/`, and single files of other programs). Its three
 * projections of attention are one here, and its embeddings have fewer axes.
 */
export const TRANSFORMERS_CLIP: readonly KeyRow[] = [
  { ours: "visual.cls_embedding", theirs: "vision_model.embeddings.class_embedding", rank: 3 },
  // Theirs ends in .weight, ours does not: the ending belongs to the path here.
  { ours: "visual.pos_embedding", theirs: "vision_model.embeddings.position_embedding.weight", rank: 3 },
  ...["q_proj", "k_proj", "v_proj"].map((name, part) => ({
    ours: "visual.transformer.*.attn.to_qkv",
    theirs: `${LAYER}.self_attn.${name}`,
    part,
  })),
  ...rows({
    "visual.patch_embedding": "vision_model.embeddings.patch_embedding",
    // Spelled so.
    "visual.pre_norm": "vision_model.pre_layrnorm",
    "visual.transformer.*.norm1": `${LAYER}.layer_norm1`,
    "visual.transformer.*.attn.proj": `${LAYER}.self_attn.out_proj`,
    "visual.transformer.*.norm2": `${LAYER}.layer_norm2`,
    "visual.transformer.*.mlp.0": `${LAYER}.mlp.fc1`,
    "visual.transformer.*.mlp.2": `${LAYER}.mlp.fc2`,
    "visual.post_norm": "vision_model.post_layernorm",
  }),
];
