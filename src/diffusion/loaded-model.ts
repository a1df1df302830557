/** A model folder with its networks placed: everything that one segment needs. */
import { buildClipVision } from "../models/clip-vision/build.ts";
import { numImageTokens } from "../models/clip-vision/config.ts";
import { type WanDiTShape } from "../models/wan-dit/build.ts";
import { numLatentFrames, spatialStride } from "../models/wan-vae/config.ts";
import { type Image } from "../media/pixels.ts";
import { Lane } from "../runtime/lane.ts";
import { type OpenGraph } from "../runtime/open-graph.ts";
import { type Checkpoint } from "../runtime/safetensors.ts";
import { SharedWeights } from "../runtime/shared-weights.ts";
import { checkWeights } from "../runtime/weights.ts";
import { type Tensor, zeros } from "../tensor/tensor.ts";
import { Denoiser } from "./denoiser.ts";
import { type AppliedLora, FinetunedWeights, type PhaseLoras, type PhaseName } from "./finetuned-weights.ts";
import { encodeImageFeature } from "./image-feature.ts";
import { type VideoCodec, VideoVae } from "./latents.ts";
import { type Int8Layers, readInt8Calibration } from "./int8-calibration.ts";
import { type LoraChoice } from "./lora-choice.ts";
import { openLora } from "./lora-file.ts";
import { type ModelDescription, type ModelFolder, openModelFolder } from "./model-folder.ts";
import { type NetworkSpecs, networkSpecs } from "./network-specs.ts";
import { type Placement } from "./placement.ts";
import { findSubject, subjectTokenIndices } from "./subject.ts";
import { type EncodedPrompt, PromptEncoder } from "./text.ts";
import { PromptTokenizer } from "./tokenizer.ts";

/** Pixels and frames of a segment. */
export interface SegmentSize {
  readonly width: number;
  readonly height: number;
  /** 4k + 1 */
  readonly numFrames: number;
}

/** How the reference image enters the denoiser. */
export interface EncodedReference {
  /** Latents [1, 16, 1, h, w]. */
  readonly ref: Tensor<"float32">;
  /** Vision tokens [1, N, imageDim]; null for a model that takes none. */
  readonly clipFeature: Tensor<"float32"> | null;
}

/**
 * Sizes of the denoiser's graphs for a segment.
 * @throws UserError when the number of frames is not 1 plus a multiple of 4
 */
export function denoiserShape(description: ModelDescription, size: SegmentSize): WanDiTShape {
  const { vae, imageEncoder, textTokens } = description;
  const stride = spatialStride(vae);
  return {
    latentFrames: numLatentFrames(vae, size.numFrames),
    latentHeight: size.height / stride,
    latentWidth: size.width / stride,
    textTokens,
    imageTokens: numImageTokens(imageEncoder),
  };
}

/** [16, f, h, w] of a segment's latents. */
export function latentShapeOf(description: ModelDescription, size: SegmentSize): number[] {
  const { latentFrames, latentHeight, latentWidth } = denoiserShape(description, size);
  return [description.dit.outDim, latentFrames, latentHeight, latentWidth];
}

/** Checkpoints of a folder's parts, the denoiser's apart. */
interface Encoders {
  readonly vae: Checkpoint;
  readonly textEncoder: Checkpoint;
  readonly imageEncoder: Checkpoint;
}

/** An opened model. All its networks run in one lane, one after another; weights are read when first needed. */
export class LoadedModel {
  readonly description: ModelDescription;
  readonly vae: VideoVae;
  private readonly prompts = new Map<string, Promise<EncodedPrompt>>();
  private readonly promptEncoder: PromptEncoder;
  private readonly textWeights: SharedWeights;

  private constructor(
    folder: ModelFolder,
    private readonly tokenizer: PromptTokenizer,
    private readonly encoders: Encoders,
    private readonly ditWeights: FinetunedWeights,
    private readonly lane: Lane,
    readonly placement: Placement,
  ) {
    const { description } = folder;
    this.description = description;
    this.textWeights = this.weightsOf("textEncoder", "the text encoder");
    const openText = this.opener(this.textWeights);
    this.promptEncoder = new PromptEncoder(
      tokenizer,
      description.textEncoder,
      openText,
      description.textTokens,
    );
    this.vae = new VideoVae(description.vae, this.opener(this.weightsOf("vae", "the VAE")));
  }

  /**
   * Opens a folder and checks every tensor's name and shape, before any of them is read.
   * @param loras to be merged in order over the finetunings of both phases
   * @throws UserError when a file is missing or malformed, or a tensor missing or mis-shaped
   */
  static async open(
    path: string,
    placement: Placement,
    loras: readonly LoraChoice[] = [],
  ): Promise<LoadedModel> {
    return LoadedModel.of(await openModelFolder(path), placement, loras);
  }

  /** The same of an opened folder. */
  static async of(
    folder: ModelFolder,
    placement: Placement,
    loras: readonly LoraChoice[] = [],
  ): Promise<LoadedModel> {
    const tokenizer = await PromptTokenizer.load(folder.tokenizerPath);
    const specs = networkSpecs(folder.description);
    const encoders = await openEncoders(folder, specs);
    const lane = new Lane();
    try {
      const base = await folder.open("dit");
      const phases = await openLoras(folder, loras);
      const int8 = placement.precision === "int8" ? await readInt8Calibration(folder) : null;
      const weights = await FinetunedWeights.open(base, phases, specs.dit, { lane, int8 });
      return new LoadedModel(folder, tokenizer, encoders, weights, lane, placement);
    } catch (error) {
      await lane.close();
      throw error;
    }
  }

  /** The text context of a prompt; each prompt is encoded once. */
  encodePrompt(prompt: string): Promise<EncodedPrompt> {
    const known = this.prompts.get(prompt);
    if (known) return known;
    const encoded = this.promptEncoder.encode(prompt);
    this.prompts.set(prompt, encoded);
    return encoded;
  }

  /**
   * Marks the tokens of the subject in a prompt, [M]: what KV-sharing takes the subject's place from.
   * @param subject a phrase of the prompt; by default the most telling common word for a person
   * @returns null when no subject is given and the prompt has none of these words
   * @throws UserError when the given phrase is not in the prompt
   */
  subjectTokens(prompt: string, subject: string | null = findSubject(prompt)): Tensor<"float32"> | null {
    if (subject === null) return null;
    const { textTokens } = this.description;
    const { tokens } = this.tokenizer.tokenize(prompt, textTokens);
    const phrase = this.tokenizer.tokenize(subject, textTokens).tokens;
    const marks = zeros([textTokens]);
    for (const index of subjectTokenIndices(tokens, phrase)) marks.data[index] = 1;
    return marks;
  }

  /** Encodes a reference image of the segment's size, as whole frames unless another form of the VAE is given. */
  async encodeReference(image: Image, vae: VideoCodec = this.vae): Promise<EncodedReference> {
    const ref = await vae.encode([image]);
    if (this.description.dit.imageDim === null) return { ref, clipFeature: null };
    const config = this.description.imageEncoder;
    const weights = this.weightsOf("imageEncoder", "the image encoder");
    const runner = await this.opener(weights)(buildClipVision(config), "image encoder");
    try {
      return { ref, clipFeature: await encodeImageFeature(image, config, runner) };
    } finally {
      await runner.release();
      await weights.release();
    }
  }

  /** Frees the text encoder, which no later step needs. Encoded prompts stay. */
  async freeTextEncoder(): Promise<void> {
    await this.promptEncoder.release();
    await this.textWeights.release();
  }

  /** All weights of the denoiser in one phase: for models that fit into memory. */
  denoiserWeights(phase: PhaseName): Promise<Map<string, Tensor<"float32">>> {
    return this.ditWeights.read(phase);
  }

  /** What the denoiser computes in int8; null where nothing is. */
  get int8(): Int8Layers | null {
    return this.ditWeights.int8;
  }

  /** The denoiser for segments of a size. */
  denoiser(size: SegmentSize): Denoiser {
    const { description, lane, placement, ditWeights: weights } = this;
    const shape = denoiserShape(description, size);
    return new Denoiser({
      config: description.dit,
      shape,
      maxMapBlock: description.maxMapBlock,
      lane,
      weights,
      placement,
    });
  }

  /** Ends the lane with everything in it, after the run in progress. */
  async release(): Promise<void> {
    await this.lane.close();
  }

  private weightsOf(part: keyof Encoders, model: string): SharedWeights {
    return new SharedWeights(this.lane, this.encoders[part], { model });
  }

  private opener(weights: SharedWeights): OpenGraph {
    return (graph, name) => weights.session(graph, { name, ...this.placement });
  }
}

/** Opens the finetuning of each phase with the LoRAs over it: first the folder's own, then those asked for. */
export async function openLoras(folder: ModelFolder, choices: readonly LoraChoice[]): Promise<PhaseLoras> {
  const extra: AppliedLora[] = [];
  for (const { path, weight } of [...folder.loras, ...choices]) {
    extra.push({ file: await openLora(path), weight });
  }
  const stackOf = async (phase: PhaseName): Promise<AppliedLora[]> => [
    { file: await folder.openPhase(phase), weight: 1 },
    ...extra,
  ];
  return { phase1: await stackOf("phase1"), phase2: await stackOf("phase2") };
}

/** Opens the encoders' files and checks their tensors. */
async function openEncoders(folder: ModelFolder, specs: NetworkSpecs): Promise<Encoders> {
  const files = {
    vae: await folder.open("vae"),
    textEncoder: await folder.open("textEncoder"),
    imageEncoder: await folder.open("imageEncoder"),
  };
  checkWeights(specs.vae, files.vae, "the VAE");
  checkWeights(specs.textEncoder, files.textEncoder, "the text encoder");
  checkWeights(specs.imageEncoder, files.imageEncoder, "the image encoder");
  return files;
}
