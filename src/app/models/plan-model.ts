import { WAN_VAE } from "../../models/wan-vae/config.ts";
import { CLIP_VISION_PRESETS } from "../../models/clip-vision/config.ts";
import { tensorsOf } from "../../models/layers/lora-merge.ts";
import { LORA_TARGETS } from "../../models/layers/lora.ts";
import { UMT5_PRESETS } from "../../models/umt5/config.ts";
import { int8LinearGroups } from "../../models/layers/int8-linears.ts";
import { buildWanDiT } from "../../models/wan-dit/build.ts";
import { WAN_DIT_PRESETS, type WanDiTConfig } from "../../models/wan-dit/config.ts";
import { TRAINED_WHOLE } from "../../diffusion/layouts/weight-naming.ts";
import { publishedDefaults } from "../../diffusion/layouts/published-defaults.ts";
import { type Int8Choice, readInt8Calibration } from "../../diffusion/int8-calibration.ts";
import { openModelFolder, parseModelDescription } from "../../diffusion/model-folder.ts";
import { networkSpecs } from "../../diffusion/network-specs.ts";
import {
  parseStoredPrecision,
  storedBits,
  type StoredPrecision,
  storedDType,
} from "../../diffusion/stored-precision.ts";
import {
  checkPlanSize,
  type ModelPlan,
  type ModelPlanRequest,
  type ModelWeights,
  planWays,
} from "../../pipeline/model-plan.ts";
import type { CheckedGenerateRequest } from "../../pipeline/request.ts";
import { storedSizes } from "../../pipeline/staging.ts";
import { DEVICES, type DeviceName } from "../../runtime/device-table.ts";
import { resolveDevice } from "../../runtime/devices.ts";
import { freeMemoryBytes, matmulSpeed } from "../../runtime/measure.ts";
import { MAP_BEYOND_BYTES } from "../../runtime/shared-weights.ts";
import type { TensorEntry } from "../../runtime/tensor-file.ts";
import { blockBytes, BLOCK_SIZE } from "../../tensor/block-wise.ts";
import { UserError } from "../../tensor/errors.ts";
import { bytesPerElement, type DType, sizeOf } from "../../tensor/tensor.ts";
import { sharingText } from "../cli/plan-table.ts";
import { formatBytes, formatCount, formatDuration, formatNumber } from "../cli/quantities.ts";
import { textTable } from "../cli/text-table.ts";

export interface PlanModelRequest {
  /** A model; absent: the published one, none of whose files are needed. */
  readonly model?: string | undefined;
  readonly size?: { readonly width: number; readonly height: number } | undefined;
  readonly frames?: number | undefined;
  readonly segmentFrames?: number | undefined;
  readonly steps?: number | undefined;
  readonly guidanceScale?: number | undefined;
  readonly kvShare?: CheckedGenerateRequest["kvShare"] | undefined;
  readonly device?: string | undefined;
  /** What weights are stored in, or int8 for what they are computed in; absent: as they are, bf16 for the published. */
  readonly precision?: string | undefined;
  /** In GiB; absent: what is free here. */
  readonly memoryGiB?: number | undefined;
  /** Of the machine planned for; absent: measured here. */
  readonly gflops?: number | undefined;
}

/** Length of a video that nothing is said about. */
const DEFAULT_SECONDS = 10;
/** Of the published finetunings (method section 6). */
const PUBLISHED_RANK = 16;

/**
 * Says what a video would take, and the first way to make it in the memory there is.
 * @throws UserError for a model that is not whole, sizes that do not suit it, or a device that is not here
 */
export async function planModelText(
  request: PlanModelRequest,
  announce: (message: string) => void,
): Promise<string> {
  const isInt8 = request.precision === "int8";
  const stored = isInt8 || request.precision === undefined ? null : parseStoredPrecision(request.precision);
  const weights =
    request.model === undefined
      ? publishedWeights(stored ?? "bf16", isInt8)
      : await weightsOf(request.model, stored, isInt8);
  const { defaults } = weights.description;
  const { width, height } = request.size ?? defaults;
  checkPlanSize(width, height);
  const numFrames = request.frames ?? DEFAULT_SECONDS * defaults.fps;
  const isHere = request.gflops === undefined;
  const name = request.device ?? "cpu";
  // Another machine's device need not be here.
  const device = !isHere && isDevice(name) ? name : await resolveDevice(name, announce);
  const gflops = request.gflops ?? (await matmulSpeed({ device }));
  const memoryBytes = request.memoryGiB === undefined ? freeMemoryBytes() : request.memoryGiB * 2 ** 30;
  if (!(gflops > 0 && memoryBytes > 0)) throw new UserError("gflops and memory must be above 0");
  const asked: ModelPlanRequest = {
    width,
    height,
    numFrames,
    segmentFrames: request.segmentFrames ?? defaults.segmentFrames,
    numSteps: request.steps ?? defaults.steps,
    guidanceScale: request.guidanceScale ?? defaults.guidanceScale,
    kvShare: request.kvShare ?? "auto",
    isAccelerator: DEVICES[device].widening === "start",
    gflops,
    memoryBytes,
  };
  const ways = await planWays(weights, asked);
  const memoryFrom = request.memoryGiB === undefined ? "free here" : "as given";
  const overview = [
    ["model", weights.description.name],
    [
      "result",
      `${width}x${height}, ${numFrames} frames at ${defaults.fps} fps, ${formatNumber(numFrames / defaults.fps)} s`,
    ],
    ["denoiser", `${formatBytes(weights.denoiser.storedBytes)} in its files${isInt8 ? ", in int8" : ""}`],
    ["memory", `${formatBytes(memoryBytes)}, ${memoryFrom}`],
    ["device", `${device}, ${formatNumber(gflops, 0)} GFLOPS, ${isHere ? "measured here" : "as given"}`],
  ];
  return [
    textTable(overview),
    textTable(ways.map(wayRow), ["left", "right", "right", "left"]),
    ...reasons(ways, weights, asked),
  ].join("\n\n");
}

function isDevice(name: string): name is DeviceName {
  return Object.hasOwn(DEVICES, name);
}

function wayRow({
  segmentFrames,
  numSegments,
  sharing,
  keeping,
  blocksPerStage,
  memory,
  estimatedMs,
  rereadMs,
  fits,
}: ModelPlan): string[] {
  const shared = sharing === null ? "no sharing" : `sharing ${sharingText(sharing)}${keepingText(keeping)}`;
  const staged = blocksPerStage === null ? "" : `, stages of ${blocksPerStage} blocks`;
  return [
    `${numSegments} segments of ${segmentFrames} frames, ${shared}${staged}`,
    formatBytes(memory.totalBytes),
    formatDuration(estimatedMs.total + rereadMs),
    fits ? "fits" : "does not fit",
  ];
}

function keepingText({ keyFolder, keyDType }: ModelPlan["keeping"]): string {
  if (keyFolder === undefined) return "";
  return keyDType === "int8" ? ", keys in int8 on the disk" : ", keys on the disk";
}

/** Why it takes what it takes, and what to do. */
function reasons(
  ways: readonly ModelPlan[],
  { denoiser: { storedBytes, floatBytes }, description, int8 }: ModelWeights,
  { memoryBytes, isAccelerator, width, height }: ModelPlanRequest,
): string[] {
  const last = ways.at(-1)!;
  const { memory, cost, tiling, blocksPerStage, numEvaluations, rereadBytes, rereadMs } = last;
  const parts = [
    ["  weights", formatBytes(memory.weightBytes)],
    ["  denoiser", formatBytes(memory.denoiserBytes)],
    ["  shared keys and values", formatBytes(memory.sharedKeyBytes)],
    [
      tiling === null ? "  VAE, whole frames" : `  VAE, ${tiling.numTiles} tiles`,
      formatBytes(memory.vaeBytes),
    ],
    ["  text or image encoder, before", formatBytes(memory.encoderBytes)],
    ["  frames of a segment", formatBytes(memory.frameBytes)],
  ];
  const tokens = `${cost.tokens.video} video and ${cost.tokens.ref} reference tokens`;
  const isMapped = !isAccelerator && floatBytes > MAP_BEYOND_BYTES;
  const stages =
    blocksPerStage === null
      ? ""
      : `, in stages of ${blocksPerStage} of its ${description.dit.numLayers} blocks`;
  const why = [
    `Memory of the last way: the denoiser's grows with its ${tokens}`,
    isAccelerator
      ? `a device holds weights as float32, ${formatBytes(floatBytes)} of the denoiser${stages}`
      : isMapped
        ? "weights this large stay in their files, whose pages the system keeps while it has memory left; matrices of 16 " +
          `bits are widened one by one as they are used${stages}`
        : "weights are held in memory",
  ];
  const { flops, effort } = cost.predict;
  const time = [
    `Time: ${numEvaluations} evaluations of the denoiser with ${formatCount(flops)}FLOP each; with reading and ` +
      `${isMapped ? "writing values and widening weights" : "writing values"} they take as long as ${formatCount(effort)}FLOP of matrix products`,
  ];
  if (rereadBytes > 0) {
    const reason = isAccelerator
      ? "each brings all blocks onto the device again"
      : `${formatBytes(memoryBytes - Math.min(memoryBytes, memory.totalBytes))} are left for a file of ` +
        `${formatBytes(storedBytes)}, so that each reads it from the disk again`;
    time.push(`${reason}: ${formatDuration(rereadMs)} of the time at 2 GB/s, a disk's speed that is assumed`);
  }
  const flags = [
    `--size ${width}x${height}`,
    ...(last.segmentFrames === description.defaults.segmentFrames
      ? []
      : [`--segment-frames ${last.segmentFrames}`]),
    ...(last.sharing === null ? ["--kv-share off"] : []),
    ...(last.keeping.keyFolder === undefined ? [] : ["--kv-place disk"]),
    ...(last.keeping.keyDType === "int8" ? ["--kv-precision int8"] : []),
    ...(blocksPerStage === null ? [] : [`--blocks-per-stage ${blocksPerStage}`]),
    ...(int8 === null ? [] : ["--precision int8"]),
  ];
  const advice = last.fits
    ? `Generate with ${flags.join(" ")}`
    : "Nothing of this size fits: take a smaller --size, or a machine with more memory";
  return [`${why.join("; ")}.\n${textTable(parts, ["left", "right"])}`, `${time.join("; ")}.`, `${advice}.`];
}

interface Shaped {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A weight's bytes when it is stored in another precision. */
function withBytes(
  key: string,
  entry: Shaped & Pick<TensorEntry, "blocks">,
  precision: StoredPrecision | null,
): Pick<TensorEntry, "shape" | "byteLength"> {
  const { shape } = entry;
  const bits = storedBits(key, entry, precision);
  const bytes =
    bits === null
      ? bytesPerElement(storedDType(entry, precision))
      : (blockBytes(bits) + Float32Array.BYTES_PER_ELEMENT) / BLOCK_SIZE;
  return { shape, byteLength: bytes * sizeOf(shape) };
}

/** The published model as its files describe it, without them. */
function publishedWeights(precision: StoredPrecision, isInt8: boolean): ModelWeights {
  const description = parseModelDescription(
    {
      format: 1,
      name: "posegen, as published",
      dit: WAN_DIT_PRESETS.wan14b,
      vae: WAN_VAE,
      textEncoder: UMT5_PRESETS.xxl,
      imageEncoder: CLIP_VISION_PRESETS.vitH,
      ...publishedDefaults(WAN_DIT_PRESETS.wan14b.numLayers),
    },
    "the published model",
  );
  const { dit } = networkSpecs(description);
  // What is not stored in blocks is bfloat16 as published.
  const published = dit.map((spec) => ({ ...spec, dtype: storedDType(spec, "bf16") }));
  const finetuning = dit.reduce((sum, { name, shape }) => {
    if (TRAINED_WHOLE.test(name)) return sum + sizeOf(shape);
    return LORA_TARGETS.test(name) ? sum + PUBLISHED_RANK * (shape[0]! + shape[1]!) : sum;
  }, 0);
  return {
    description,
    denoiser: storedSizes(
      new Map(published.map((entry) => [entry.name, withBytes(entry.name, entry, precision)])),
    ),
    finetuningBytes: 2 * 4 * finetuning,
    int8: isInt8 ? everyGroup(description.dit) : null,
  };
}

/** All groups of a denoiser, which do not depend on what it works on. */
function everyGroup(dit: WanDiTConfig): Int8Choice {
  const graph = buildWanDiT(dit, { latentFrames: 1, latentHeight: 2, latentWidth: 2 });
  return { groups: int8LinearGroups(graph) };
}

async function weightsOf(
  path: string,
  precision: StoredPrecision | null,
  isInt8: boolean,
): Promise<ModelWeights> {
  const model = await openModelFolder(path);
  const base = await model.open("dit");
  const specs = networkSpecs(model.description).dit;
  const stored = specs.flatMap(({ name }) => {
    const entry = base.tensors.get(name);
    return entry ? [[name, withBytes(name, entry, precision)] as const] : [];
  });
  let finetuningBytes = 0;
  for (const phase of ["phase1", "phase2"] as const) {
    const tensors = tensorsOf(await model.openPhase(phase));
    finetuningBytes += 4 * tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  }
  return {
    description: model.description,
    denoiser: storedSizes(new Map(stored)),
    finetuningBytes,
    int8: isInt8 ? await readInt8Calibration(model) : null,
  };
}
