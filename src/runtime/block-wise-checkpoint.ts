import { blockWiseKeys } from "../graph/index.ts";
import { type BlockBits, BLOCK_SIZE, blockBytes, fromBlocks } from "../tensor/block-wise.ts";
import { UserError } from "../tensor/errors.ts";
import { type Tensor, float32 } from "../tensor/tensor.ts";
import { quote } from "./quote.ts";
import type { Checkpoint, TensorEntry } from "./tensor-file.ts";

const STORED = /^(.+)_q([48])$/;

/**
 * A checkpoint in which weights that are stored in blocks of 8 or 4 bits (see `blockWiseKeys`) have their own keys
 * again: they read as float32, and `TensorEntry.blocks` says where their blocks are. Others pass unchanged.
 * @throws UserError where values and scales do not fit together
 */
export function withBlocks(checkpoint: Checkpoint): Checkpoint {
  const tensors = new Map(checkpoint.tensors);
  for (const [name, values] of checkpoint.tensors) {
    const [, key, digit] = STORED.exec(name) ?? [];
    if (key === undefined) continue;
    const bits = Number(digit) as BlockBits;
    const keys = blockWiseKeys(key, bits);
    const scale = checkpoint.tensors.get(keys.scale);
    if (!scale || tensors.has(key) || !isFitting(values, scale, bits)) {
      throw new UserError(
        `${checkpoint.path}: ${quote(name)} is no weight in blocks: expected uint8 [out, in / ${BLOCK_SIZE}, ` +
          `${blockBytes(bits)}], ${quote(keys.scale)} as float32 [out, in / ${BLOCK_SIZE}], and no ${quote(key)}`,
      );
    }
    const [out, numBlocks] = values.shape as [number, number];
    tensors.delete(name);
    tensors.delete(keys.scale);
    tensors.set(key, {
      ...values,
      dtype: "float32",
      shape: [out, numBlocks * BLOCK_SIZE],
      byteLength: values.byteLength + scale.byteLength,
      blocks: { bits, values, scale },
    });
  }
  if (tensors.size === checkpoint.tensors.size) return checkpoint;

  const readTensor = async (name: string): Promise<Tensor> => {
    const { blocks, shape } = tensors.get(name) ?? {};
    if (!blocks || !shape) return checkpoint.readTensor(name);
    const keys = blockWiseKeys(name, blocks.bits);
    const values = (await checkpoint.readTensor(keys.values)) as Tensor<"uint8">;
    const scale = (await checkpoint.readTensor(keys.scale)) as Tensor<"float32">;
    return float32(fromBlocks({ values, scale }, blocks.bits), shape);
  };
  const readFloat32 = async (name: string): Promise<Tensor<"float32">> =>
    tensors.get(name)?.blocks
      ? ((await readTensor(name)) as Tensor<"float32">)
      : checkpoint.readFloat32(name);
  return { ...checkpoint, tensors, readTensor, readFloat32 };
}

function isFitting(values: TensorEntry, scale: TensorEntry, bits: BlockBits): boolean {
  const [out, numBlocks, numBytes, ...rest] = values.shape;
  return (
    values.dtype === "uint8" &&
    scale.dtype === "float32" &&
    rest.length === 0 &&
    numBytes === blockBytes(bits) &&
    scale.shape.join() === [out, numBlocks].join()
  );
}
