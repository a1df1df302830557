import { type KeyRow, rows } from "./key-table.ts";

/** Transformers' names of UMT5 (`text_encoder/`, and single files of other programs). */
export const TRANSFORMERS_UMT5: readonly KeyRow[] = rows({
  token_embedding: "shared",
  "blocks.*.norm1": "encoder.block.*.layer.0.layer_norm",
  "blocks.*.attn.q": "encoder.block.*.layer.0.SelfAttention.q",
  "blocks.*.attn.k": "encoder.block.*.layer.0.SelfAttention.k",
  "blocks.*.attn.v": "encoder.block.*.layer.0.SelfAttention.v",
  "blocks.*.attn.o": "encoder.block.*.layer.0.SelfAttention.o",
  "blocks.*.pos_embedding.embedding": "encoder.block.*.layer.0.SelfAttention.relative_attention_bias",
  "blocks.*.norm2": "encoder.block.*.layer.1.layer_norm",
  "blocks.*.ffn.gate.0": "encoder.block.*.layer.1.DenseReluDense.wi_0",
  "blocks.*.ffn.fc1": "encoder.block.*.layer.1.DenseReluDense.wi_1",
  "blocks.*.ffn.fc2": "encoder.block.*.layer.1.DenseReluDense.wo",
  norm: "encoder.final_layer_norm",
});
