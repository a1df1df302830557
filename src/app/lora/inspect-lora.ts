import { openLora } from "../../diffusion/lora-file.ts";
import { groupByPattern } from "../cli/inspect/checkpoint.ts";
import { printable } from "../cli/printable.ts";
import { formatBytes, formatCount, formatNumber } from "../cli/quantities.ts";
import { textTable } from "../cli/text-table.ts";
import { sizeOf } from "../../tensor/tensor.ts";

/** What a LoRA changes: its naming, and each kind of layer with rank and scale. @throws UserError as `openLora` */
export async function describeLora(path: string): Promise<string> {
  const { naming, pairs, whole } = await openLora(path);
  const tensors = [...[...pairs.values()].flatMap(({ a, b }) => [a, b]), ...whole.values()];
  const total = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0);
  const parameters = formatCount(total(tensors.map(({ shape }) => sizeOf(shape))));
  const bytes = formatBytes(total(tensors.map(({ byteLength }) => byteLength)));
  const adapted = [...pairs].map(
    ([key, { a, b, scale }]) =>
      [key, { shape: [b.shape[0]!, a.shape[1]!], rank: a.shape[0]!, scale, dtype: a.dtype }] as const,
  );
  const pairRows = groupByPattern(adapted, (pair) => pair).map(({ pattern, entries, first }) => [
    printable(pattern),
    entries > 1 ? `x ${entries}` : "",
    `[${first.shape.join(", ")}]`,
    first.dtype,
    `rank ${first.rank}, scale ${formatNumber(first.scale)}`,
  ]);
  const wholeRows = groupByPattern(whole, ({ dtype, shape }) => [dtype, shape]).map(
    ({ pattern, entries, first }) => [
      printable(pattern),
      entries > 1 ? `x ${entries}` : "",
      `[${first.shape.join(", ")}]`,
      first.dtype,
      "whole",
    ],
  );
  return [
    `LoRA, names as in ${naming}, ${pairs.size} pairs and ${whole.size} whole weights, ${parameters} parameters, ${bytes}`,
    textTable([...pairRows, ...wholeRows], ["left", "right"]),
  ].join("\n");
}
