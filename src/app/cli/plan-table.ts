/** `posegen generate --dry-run`: what a run will do, and what it will cost. */
import type { GenerationPlan, Segment, SharingPlan, VaeTiling } from "../../index.ts";
import { formatBytes, formatCount, formatDuration, formatNumber } from "./quantities.ts";
import { textTable } from "./text-table.ts";

/** More segments than this are shortened to the first and the last ones. */
const MAX_SEGMENT_ROWS = 12;

export function planTable(plan: GenerationPlan): string {
  const {
    plan: segments,
    fps,
    width,
    height,
    numSteps,
    guidanceScale,
    tokens,
    work,
    memory,
    estimatedMs,
  } = plan;
  const { numFrames, segmentFrames, headFrames, tailFrames } = segments;
  const overview = [
    [
      "result",
      `${width}x${height}, ${numFrames} frames at ${formatNumber(fps)} fps, ${formatNumber(numFrames / fps)} s`,
    ],
    [
      "segments",
      `${segments.segments.length} of ${segmentFrames} frames; ${headFrames} head and ${tailFrames} tail frames kept`,
    ],
    ["sampling", `${numSteps} steps, guidance ${formatNumber(guidanceScale)}`],
    ["sharing", sharingText(plan.sharing)],
    ["VAE", tilingText(plan.tiling)],
    ["tokens", `${tokens.video} video + ${tokens.ref} reference, ${tokens.text} text, ${tokens.image} image`],
  ];
  const cost = [
    ["work", "FLOP", "time"],
    ["find poses", "", formatDuration(estimatedMs.perceive)],
    ["open model, encode prompt", "", formatDuration(estimatedMs.encode)],
    ["encode conditions", formatCount(work.encodeFlops), ""],
    ["denoise base segments", formatCount(work.baseFlops), formatDuration(estimatedMs.base)],
    [
      "denoise interpolated segments",
      formatCount(work.interpolateFlops),
      formatDuration(estimatedMs.interpolate),
    ],
    ["decode frames", formatCount(work.decodeFlops), ""],
    ["stitch and write", "", formatDuration(estimatedMs.write)],
    ["together", formatCount(work.totalFlops), formatDuration(estimatedMs.total)],
  ];
  const space = [
    ["memory", formatBytes(memory.totalBytes)],
    ["  weights", formatBytes(memory.weightBytes)],
    ["  denoiser", formatBytes(memory.denoiserBytes)],
    ["  shared keys and values", formatBytes(memory.sharedKeyBytes)],
    ["  VAE", formatBytes(memory.vaeBytes)],
    ["  text or image encoder, before", formatBytes(memory.encoderBytes)],
    ["  frames of a segment", formatBytes(memory.frameBytes)],
    ["work directory", formatBytes(plan.diskBytes)],
  ];
  return [
    textTable(overview),
    textTable(segmentRows(segments.segments, segmentFrames), ["right", "left"]),
    textTable(cost, ["left", "right", "right"]),
    textTable(space, ["left", "right"]),
    `Times are estimates for this machine, at ${formatNumber(plan.gflops, 0)} GFLOPS. Nothing was generated.`,
  ].join("\n\n");
}

export function sharingText(sharing: SharingPlan | null): string {
  if (sharing === null) return "off";
  const { shot, steps, blocks, mode } = sharing;
  const where = `steps ${steps[0]} to ${steps[1] - 1}, blocks ${blocks[0]} to ${blocks[1] - 1}`;
  return `${shot === null ? "" : `${shot}: `}${where}${mode === "paper" ? "" : ` (${mode})`}`;
}

function tilingText(tiling: VaeTiling | null): string {
  if (tiling === null) return "whole frames";
  const { numTiles, width, height } = tiling;
  return `${numTiles} tiles of ${width}x${height} pixels`;
}

function segmentRows(segments: readonly Segment[], segmentFrames: number): string[][] {
  const rows = segments.map(({ index, kind, start }) => [
    `${index}`,
    kind,
    `frames ${start} to ${start + segmentFrames - 1}`,
  ]);
  if (rows.length > MAX_SEGMENT_ROWS)
    rows.splice(MAX_SEGMENT_ROWS - 2, rows.length - MAX_SEGMENT_ROWS, ["…"]);
  return [["segment", "kind", ""], ...rows];
}
