import { invariant } from "../tensor/errors.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { type Batch, type Params, type StepResult, type TrainStep } from "./train.ts";

/**
 * Cuts a batch into equal parts along the first axis of all its tensors. The parts are views of it.
 * @param count divides the first axis
 */
export function splitBatch(batch: Batch, count: number): Batch[] {
  return Array.from({ length: count }, (_, part) =>
    Object.fromEntries(Object.entries(batch).map(([name, tensor]) => [name, partOf(tensor, part, count)])),
  );
}

function partOf<T extends Tensor>(tensor: T, part: number, count: number): T {
  const [length, ...rest] = tensor.shape;
  invariant(
    length !== undefined && length % count === 0,
    `[${tensor.shape}] does not fall into ${count} parts`,
  );
  const size = tensor.data.length / count;
  const data = tensor.data.subarray(part * size, (part + 1) * size);
  return { ...tensor, shape: [length / count, ...rest], data };
}

/**
 * Loss and gradients of a batch whose parts pass one after another: the means over the parts, which are those of the
 * whole batch when the loss is a mean over it.
 */
export async function accumulate(
  step: TrainStep,
  weights: Params,
  parts: readonly Batch[],
): Promise<StepResult> {
  const [first, ...others] = parts;
  invariant(first, "a batch without parts");
  const { metrics, gradients } = await step.run(weights, first);
  if (others.length === 0) return { metrics, gradients };
  const sums: Record<string, number> = { ...metrics };
  for (const part of others) {
    const next = await step.run(weights, part);
    for (const [name, value] of Object.entries(next.metrics)) sums[name]! += value;
    for (const [key, sum] of Object.entries(gradients)) addTo(sum, next.gradients[key]!);
  }
  for (const name of Object.keys(sums)) sums[name]! /= parts.length;
  for (const sum of Object.values(gradients)) {
    for (let i = 0; i < sum.length; i++) sum[i]! /= parts.length;
  }
  return { metrics: sums, gradients };
}

function addTo(sum: Float32Array, values: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += values[i]!;
}
