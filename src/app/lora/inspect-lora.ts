import { openLora } from "../../diffusion/lora-file.ts";
import { groupByPattern } from "../cli/inspect/checkpoint.ts";
import { formatBytes, formatCount, formatNumber } from "../cli/quantities.ts";
import { textTable } from "../cli/text-table.ts";
import { tensorsOf } from "../../models/layers/lora-merge.ts";
import { sizeOf } from "../../tensor/tensor.ts";

/** What a LoRA changes: its naming, and each kind of layer with rank and scale. @throws UserError as `openLora` */
export async function describeLora(path: string): Promise<string> {
  const file = await openLora(path);
  const { naming, pairs, whole, diffs } = file;
  const tensors = tensorsOf(file);
  const total = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0);
  const parameters = formatCount(total(tensors.map(({ shape }) => sizeOf(shape))));
  const bytes = formatBytes(total(tensors.map(({ byteLength }) => byteLength)));
  const adapted = [...pairs].map(
    ([key, { a, b, scale }]) =>
      [key, { shape: [b.shape[0]!, a.shape[1]!], rank: a.shape[0]!, scale, dtype: a.dtype }] as const,
  );
  const pairRows = groupByPattern(adapted, (pair) => pair).map(({ pattern, entries, first }) => [
    pattern,
    entries > 1 ? `x ${entries}` : "",
    `[${first.shape.join(", ")}]`,
    first.dtype,
    `rank ${first.rank}, scale ${formatNumber(first.scale)}`,
  ]);
  const rowsOf = (named: typeof whole, kind: string): string[][] =>
    groupByPattern(named, ({ dtype, shape }) => [dtype, shape]).map(({ pattern, entries, first }) => [
      pattern,
      entries > 1 ? `x ${entries}` : "",
      `[${first.shape.join(", ")}]`,
      first.dtype,
      kind,
    ]);
  const parts = [
    `${pairs.size} pairs`,
    `${whole.size} whole weights`,
    ...(diffs.size > 0 ? [`${diffs.size} differences`] : []),
  ];
  return [
    `LoRA, names as in ${naming}, ${parts.slice(0, -1).join(", ")} and ${parts.at(-1)!}, ${parameters} parameters, ${bytes}`,
    textTable([...pairRows, ...rowsOf(whole, "whole"), ...rowsOf(diffs, "added")], ["left", "right"]),
  ].join("\n");
}
