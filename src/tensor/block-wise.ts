/** Weights in 8 or 4 bits: blocks of 32 that follow one another in a row share a scale. */
import { type Tensor, float32, tensor } from "./tensor.ts";

/** Weights of a block; rows are a whole number of blocks. */
export const BLOCK_SIZE = 32;

export type BlockBits = 8 | 4;

export interface BlockWise {
  /** Values above 0 and below 2^bits, 2^(bits-1) for a weight of 0; of two in a byte the first in its lower half. */
  readonly values: Tensor<"uint8">;
  /** A block's values less 2^(bits-1), times its scale, are the weights. */
  readonly scale: Tensor<"float32">;
}

/** Bytes of a block's values. */
export function blockBytes(bits: BlockBits): number {
  return (BLOCK_SIZE * bits) / 8;
}

/**
 * Rounds weights to blocks. A block's largest weight becomes the lowest value, which reaches one step further than the
 * highest. Smaller steps, which cut the largest weights off, lessen the error of the weights in 4 bits, but not that
 * of what a trained model computes with them.
 * @param weights whose number is a multiple of 32
 * @returns values [blocks, bytes] and scales [blocks]
 */
export function toBlocks(weights: Float32Array, bits: BlockBits): BlockWise {
  const numBlocks = weights.length / BLOCK_SIZE;
  const zero = 2 ** (bits - 1);
  const values = new Uint8Array(numBlocks * blockBytes(bits));
  const scale = new Float32Array(numBlocks);
  for (let block = 0; block < numBlocks; block++) {
    const first = block * BLOCK_SIZE;
    const step = stepOf(weights.subarray(first, first + BLOCK_SIZE), zero);
    scale[block] = step;
    for (let i = first; i < first + BLOCK_SIZE; i++) {
      const value = levelOf(weights[i]!, step, zero) + zero;
      if (bits === 8) values[i] = value;
      else values[i >> 1]! |= value << (4 * (i & 1));
    }
  }
  return {
    values: tensor("uint8", [numBlocks, blockBytes(bits)], values),
    scale: float32(scale, [numBlocks]),
  };
}

function stepOf(block: Float32Array, zero: number): number {
  let largest = 0;
  for (const weight of block) if (Math.abs(weight) > Math.abs(largest)) largest = weight;
  // As it will be stored.
  return largest === 0 ? 0 : Math.fround(largest / -zero);
}

/** The nearest number of steps, below `zero`. */
function levelOf(weight: number, step: number, zero: number): number {
  return step === 0 ? 0 : Math.min(zero - 1, Math.round(weight / step));
}

/** The weights of blocks, one behind the other. */
export function fromBlocks({ values, scale }: BlockWise, bits: BlockBits): Float32Array {
  const zero = 2 ** (bits - 1);
  const weights = new Float32Array(scale.data.length * BLOCK_SIZE);
  for (let i = 0; i < weights.length; i++) {
    const value = bits === 8 ? values.data[i]! : (values.data[i >> 1]! >> (4 * (i & 1))) & 15;
    weights[i] = (value - zero) * scale.data[Math.floor(i / BLOCK_SIZE)]!;
  }
  return weights;
}
