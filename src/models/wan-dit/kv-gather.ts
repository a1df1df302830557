// Shapes: T tokens, the last R of them reference tokens; D width; S rows that are shared.
import { invariant } from "../../tensor/errors.ts";
import { type DType, type Tensor, zeros } from "../../tensor/tensor.ts";
import { type KvSharingMode } from "./kv-sharing.ts";

/**
 * The rows of captured keys, values or their scales [1, T, D] that base segments read, [1, S, D]: in the paper's
 * modes those of the anchor's background and of its reference tokens, otherwise all. Leaving a key out is the same as
 * masking it with minus infinity (Eq. 5), and costs less memory and attention.
 * @param subject the anchor's mask of the block, bool [L], L < T; not used by `official` and `nomask`
 */
export function gatherSharedRows<D extends DType>(
  mode: KvSharingMode,
  captured: Tensor<D>,
  subject: Tensor<"bool"> | null,
): Tensor<D> {
  if (mode === "official" || mode === "nomask") return captured;
  const [batch, numTokens, dim] = captured.shape as [number, number, number];
  invariant(batch === 1 && subject !== null && subject.data.length < numTokens, "mask does not fit the keys");
  const rows = Array.from({ length: numTokens }, (_, row) => row).filter((row) => !subject.data[row]);
  const gathered = zeros([1, rows.length, dim], captured.dtype);
  const [from, to] = [bytesOf(captured), bytesOf(gathered)];
  const rowBytes = from.byteLength / numTokens;
  rows.forEach((row, i) => to.set(from.subarray(row * rowBytes, (row + 1) * rowBytes), i * rowBytes));
  return gathered;
}

function bytesOf({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
