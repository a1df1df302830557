// Shapes: T tokens, the last R of them reference tokens; D width; S rows that are shared.
import { invariant } from "../../tensor/errors.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { type KeyDType, type KvSharingMode } from "./kv-sharing.ts";

/**
 * The rows of captured keys or values [1, T, D] that base segments read, [1, S, D]: in the paper's modes those of the
 * anchor's background and of its reference tokens, otherwise all. Leaving a key out is the same as masking it with
 * minus infinity (Eq. 5), and costs less memory and attention.
 * @param subject the anchor's mask of the block, bool [L], L < T; not used by `official` and `nomask`
 */
export function gatherSharedRows(
  mode: KvSharingMode,
  captured: Tensor<KeyDType>,
  subject: Tensor<"bool"> | null,
): Tensor<KeyDType> {
  if (mode === "official" || mode === "nomask") return captured;
  const [batch, numTokens, dim] = captured.shape as [number, number, number];
  invariant(batch === 1 && subject !== null && subject.data.length < numTokens, "mask does not fit the keys");
  const rows = Array.from({ length: numTokens }, (_, row) => row).filter((row) => !subject.data[row]);
  const length = rows.length * dim;
  const data = captured.dtype === "float16" ? new Uint16Array(length) : new Float32Array(length);
  rows.forEach((row, i) => data.set(captured.data.subarray(row * dim, (row + 1) * dim), i * dim));
  return tensor(captured.dtype, [1, rows.length, dim], data);
}
