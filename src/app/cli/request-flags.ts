/** Flags that several commands share, and how their texts become a request. What is allowed, the request's schema says. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { GenerateRequest, PrepareRequest } from "../../pipeline/request.ts";

/** Parses a number; ranges are the request's. */
export function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) throw new InvalidArgumentError("Expected a number.");
  return value;
}

/** Parses "512x768", width first. */
export function parseSize(text: string): { width: number; height: number } {
  const match = /^(\d{1,5})x(\d{1,5})$/.exec(text);
  if (!match) throw new InvalidArgumentError('Expected WIDTHxHEIGHT, such as "512x768".');
  return { width: Number(match[1]), height: Number(match[2]) };
}

function parseRate(text: string): number | "source" {
  return text === "source" ? text : parseNumber(text);
}

/** Parses "83.5" or "1:23.5" or "0:01:23.5" into seconds. */
function parseTime(text: string): number {
  if (!/^(?:\d+:){0,2}\d+(?:\.\d+)?$/.test(text)) {
    throw new InvalidArgumentError('Expected seconds or M:SS, such as "83.5" or "1:23.5".');
  }
  return text.split(":").reduce((total, part) => 60 * total + Number(part), 0);
}

function parseNumberOrAuto(text: string): number | "auto" {
  return text === "auto" ? text : parseNumber(text);
}

function parseStages(text: string): number | "auto" | "all" {
  return text === "auto" || text === "all" ? text : parseNumber(text);
}

/** Networks to see people with. */
export function eyesOption(): Option {
  return new Option(
    "--eyes <path>",
    "ONNX model of your own to see people with (DWPose, RTMPose, Sapiens, YOLOX, RTMDet), recognised by its shapes, " +
      "or a folder of them; can be repeated (default: the networks of the package)",
  ).argParser((text: string, before: readonly string[] = []) => [...before, text]);
}

/** What decides how the driving video is seen. */
export interface DrivingFlags {
  readonly video?: string;
  readonly person?: string;
  readonly eyes?: readonly string[];
  readonly keypoints?: string;
  readonly model?: string;
  readonly size?: string;
  readonly fps?: number | "source";
  readonly start?: number;
  readonly end?: number;
  readonly align?: NonNullable<PrepareRequest["align"]>;
}

export function addDrivingFlags(command: Command): Command {
  return command
    .option("--video <file>", "driving video: whose motion")
    .option(
      "--person <who>",
      "whom of several people to follow: a number as `posegen prepare` lists them, or X,Y, a pixel on the person " +
        "(default: 1, the largest for the longest)",
    )
    .addOption(eyesOption())
    .option(
      "--keypoints <file>",
      "poses in place of those found in the video, as `posegen prepare` writes them",
    )
    .option(
      "--model <folder>",
      "model folder, folder of published files, or JSON file that names a model's parts, see `posegen models` (default: " +
        "the embedded posegen-mini)",
    )
    .option("--size <WxH>", "width and height of the result, multiples of 16 (default: the model's)")
    .option(
      "--fps <n>",
      "frames per second of the result, or source, those of the video (default: the model's)",
      parseRate,
    )
    .option(
      "--start <time>",
      "where in the video to begin: seconds, or M:SS (default: its beginning)",
      parseTime,
    )
    .option("--end <time>", "where in the video to end (default: its end)", parseTime)
    .option(
      "--align <mode>",
      "fit the motion to the person of the reference: off, frame (place and size), bones (bone lengths too), or auto " +
        "(default: auto, which is bones where the two differ)",
    );
}

export function drivingRequest(flags: DrivingFlags): Omit<PrepareRequest, "out" | "image"> {
  const { video, person, eyes, keypoints, model, size, fps, start, end, align } = flags;
  return { video, person, eyes: eyes && [...eyes], keypoints, model, size, fps, start, end, align };
}

/** What decides how segments are generated. */
export interface SamplingFlags {
  readonly prompt?: string;
  readonly captionUrl?: string;
  readonly captionModel?: string;
  readonly negativePrompt?: string;
  readonly subject?: string;
  readonly lora?: readonly string[];
  readonly seed?: number;
  readonly steps?: number;
  readonly guidance?: number;
  readonly segmentFrames?: number;
  readonly headFrames?: number;
  readonly tailFrames?: number;
  readonly kvShare?: string;
  readonly kvMode?: NonNullable<GenerateRequest["kvMode"]>;
  readonly kvPrecision?: NonNullable<GenerateRequest["kvPrecision"]>;
  readonly kvPlace?: NonNullable<GenerateRequest["kvPlace"]>;
  readonly anchor?: number | "auto";
}

export function addSamplingFlags(command: Command): Command {
  return command
    .optionsGroup("Sampling:")
    .option("--prompt <text>", 'what the video shows (default: "A person is dancing.")')
    .option(
      "--caption-url <url>",
      "where no prompt is given, send the reference to this OpenAI-compatible endpoint to be described, such as " +
        "http://localhost:11434/v1; its key, if any, in POSEGEN_CAPTION_KEY (default: nothing is sent)",
    )
    .option("--caption-model <name>", "image-language model of that endpoint, as it calls it")
    .option("--negative-prompt <text>", "what it must not show (default: the model's)")
    .option(
      "--subject <words>",
      'words of the prompt that stand for the person, such as "the robot" (default: the first common one)',
    )
    .option(
      "--lora <file[:weight]>",
      "LoRA over the model's own, of any naming; can be repeated (weight: 1 = as trained)",
      (text: string, before: readonly string[] = []) => [...before, text],
    )
    .option("--seed <n>", "the same seed gives the same video (default: 0)", parseNumber)
    .option("--steps <n>", "denoising steps (default: the model's)", parseNumber)
    .option(
      "--guidance <scale>",
      "weight of the prompt; 1 = none, twice as fast (default: the model's)",
      parseNumber,
    )
    .optionsGroup("Long video:")
    .option("--segment-frames <n>", "frames of a segment, 4k + 1 (default: the model's)", parseNumber)
    .option(
      "--head-frames <n>",
      "frames kept from the segment before, 4a + 1 (default: about a quarter)",
      parseNumber,
    )
    .option(
      "--tail-frames <n>",
      "frames kept from the segment after, 4b (default: about a quarter)",
      parseNumber,
    )
    .option(
      "--kv-share <where>",
      "share background keys and values: auto, off, a shot (close-up, half-body, full-body, distant), or ranges of " +
        "steps and blocks such as 0..2:4..8 (default: auto)",
    )
    .option(
      "--kv-mode <mode>",
      "which tokens share: paper, paper-ref-own, official or nomask (default: paper)",
    )
    .option(
      "--kv-precision <type>",
      "what the keys and values are kept in: float16, or int8 in half the bytes and less exact (default: float16)",
    )
    .option(
      "--kv-place <where>",
      "where they are kept: memory, or disk, in the work directory, for sharing in less memory (default: memory)",
    )
    .option(
      "--anchor <segment>",
      "segment whose background the others share: an even number, or auto, the stillest one (default: auto)",
      parseNumberOrAuto,
    );
}

export function samplingRequest(flags: SamplingFlags) {
  return {
    prompt: flags.prompt,
    captionUrl: flags.captionUrl,
    captionModel: flags.captionModel,
    negativePrompt: flags.negativePrompt,
    subject: flags.subject,
    loras: flags.lora ? [...flags.lora] : undefined,
    seed: flags.seed,
    steps: flags.steps,
    guidanceScale: flags.guidance,
    segmentFrames: flags.segmentFrames,
    headFrames: flags.headFrames,
    tailFrames: flags.tailFrames,
    kvShare: flags.kvShare,
    kvMode: flags.kvMode,
    kvPrecision: flags.kvPrecision,
    kvPlace: flags.kvPlace,
    anchor: flags.anchor,
  };
}

/** Where the models run. */
export interface PlacementFlags {
  readonly device?: string;
  readonly precision?: string;
  readonly threads?: number;
  readonly vaeTiling?: NonNullable<GenerateRequest["vaeTiling"]>;
  readonly blocksPerStage?: NonNullable<GenerateRequest["blocksPerStage"]>;
}

export function addPlacementFlags(command: Command): Command {
  return command
    .optionsGroup("Placement:")
    .option("--device <name>", "cpu, cuda, webgpu, dml, coreml or auto; see `posegen doctor` (default: cpu)")
    .option(
      "--precision <type>",
      "what the denoiser computes in: float32, int8 (CPU; after `posegen models calibrate`), or auto (default: auto, " +
        "which is float32)",
    )
    .option("--threads <n>", "threads of the CPU (default: one per core)", parseNumber)
    .option(
      "--vae-tiling <when>",
      "frames to latents and back in tiles, in less memory and more time: on, off, or auto, where whole frames would " +
        "take more than half of the free memory (default: auto)",
    )
    .option(
      "--blocks-per-stage <n>",
      "blocks of the denoiser whose weights are in memory at a time: a number, all, or auto, fewer than all where the " +
        "weights would not fit into the free memory (default: auto)",
      parseStages,
    );
}

export function placementRequest({ device, precision, threads, vaeTiling, blocksPerStage }: PlacementFlags) {
  return { device, precision, threads, vaeTiling, blocksPerStage };
}
