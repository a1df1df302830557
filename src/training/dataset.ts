import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { exists } from "../files/exists.ts";
import type { PoseKeypoints } from "../media/pose-keypoints.ts";
import { openCheckpoint } from "../runtime/checkpoint.ts";
import { type Checkpoint } from "../runtime/safetensors.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { invariant, UserError } from "../tensor/errors.ts";
import { float32ToFloat16 } from "../tensor/float16.ts";
import { type DType, type Tensor, sizeOf } from "../tensor/tensor.ts";
import { type DatasetClip, type DatasetIndex, readDatasetIndex } from "./dataset-index.ts";

// Shapes: C latent channels, f latent frames, h and w latent size, M text tokens, S image side, F frames, P points

/** One training clip as the denoiser sees it: normalised latents, prompt tokens and the image encoder's pixels. */
export interface TrainingClip {
  /** [C, f, h, w] */
  readonly video: Float32Array;
  /** Skeleton video, [C, f, h, w]. */
  readonly pose: Float32Array;
  /** Hand-normal video, [C, f, h, w]. */
  readonly hand: Float32Array;
  /** Another moment of the same person in the same place, [C, h, w]. */
  readonly reference: Float32Array;
  /** Share of each latent cell that the person covers, 0..255, [f, h, w]. */
  readonly person: Uint8Array;
  /** [M] */
  readonly tokens: Int32Array;
  /** Normalised pixels of the reference for the image encoder, [3, S, S]. */
  readonly image: Float32Array;
}

/** A training clip with what is kept beside it to look at. */
export interface StoredClip extends TrainingClip {
  /** Points of body, left hand and right hand: x and y as shares of the picture, and confidence, [F, P, 3]. */
  readonly poses: Float32Array;
}

/** Shapes of every field, the same for all clips of a dataset. */
export type ClipShapes = Readonly<Record<keyof TrainingClip, readonly number[]>>;

/** What determines the shapes: sizes of the clips, and of what encodes them. */
export interface ClipDimensions {
  /** Pixels, multiples of 16. */
  readonly width: number;
  readonly height: number;
  /** 4k + 1 */
  readonly numFrames: number;
  readonly latentChannels: number;
  readonly textTokens: number;
  /** Side of the image encoder's input. */
  readonly imageSize: number;
}

/** Shapes of clips whose VAE makes one latent of 8x8 pixels and, after the first, of 4 frames. */
export function clipShapes(of: ClipDimensions): ClipShapes {
  const [h, w] = [of.height / 8, of.width / 8];
  const video = [of.latentChannels, 1 + (of.numFrames - 1) / 4, h, w];
  return {
    video,
    pose: video,
    hand: video,
    reference: [of.latentChannels, h, w],
    person: video.slice(1),
    tokens: [of.textTokens],
    image: [3, of.imageSize, of.imageSize],
  };
}

const STORED: Readonly<Record<keyof TrainingClip, DType>> = {
  video: "float16",
  pose: "float16",
  hand: "float16",
  reference: "float16",
  person: "uint8",
  tokens: "int32",
  image: "float16",
};

const FIELDS = Object.keys(STORED) as (keyof TrainingClip)[];

const POSES = "poses";
/** 24 points of the body and 21 of each hand. */
export const POSE_POINTS = 66;

/** `StoredClip.poses` of the poses in pictures of a size. */
export function storedPoses(
  poses: readonly PoseKeypoints[],
  { width, height }: { readonly width: number; readonly height: number },
): Float32Array {
  const points = poses.flatMap(({ body, leftHand, rightHand }) => [...body, ...leftHand, ...rightHand]);
  return Float32Array.from(points.flatMap(({ x, y, score }) => [x / width, y / height, score]));
}

/** Name of a file of rendered clips. */
export function shardName(shard: number): string {
  return `shard-${String(shard).padStart(5, "0")}.safetensors`;
}

/** Writes clips into a file, fields stacked along a new first axis. Latents and poses are stored as float16. */
export async function writeClips(
  path: string,
  clips: readonly StoredClip[],
  shapes: ClipShapes,
  fingerprint: string,
): Promise<void> {
  const tensors: Record<string, Tensor> = {};
  for (const field of FIELDS) {
    const dtype = STORED[field];
    tensors[field] = stack(
      field,
      dtype,
      shapes[field],
      clips.map((clip) => clip[field]),
    );
  }
  const numFrames = clips[0]!.poses.length / (3 * POSE_POINTS);
  const poses = clips.map((clip) => clip.poses);
  tensors[POSES] = stack(POSES, "float16", [numFrames, POSE_POINTS, 3], poses);
  await writeSafetensors(path, tensors, { fingerprint });
}

/** [n, ...shape] of n arrays. */
function stack(
  name: string,
  dtype: DType,
  shape: readonly number[],
  arrays: readonly TrainingClip[keyof TrainingClip][],
): Tensor {
  const size = sizeOf(shape);
  const all =
    dtype === "float16"
      ? new Uint16Array(size * arrays.length)
      : dtype === "int32"
        ? new Int32Array(size * arrays.length)
        : new Uint8Array(size * arrays.length);
  arrays.forEach((data, i) => {
    invariant(data.length === size, `${name} of a clip has ${data.length} elements, expected ${size}`);
    all.set(data instanceof Float32Array ? float32ToFloat16(data) : data, i * size);
  });
  return { dtype, shape: [arrays.length, ...shape], data: all };
}

type FieldData = Float32Array | Uint8Array | Int32Array;
type Fields = Readonly<Record<keyof TrainingClip, FieldData>>;

export interface OpenDatasetOptions {
  /** Refuse a dataset made by other encoders: the fingerprint of those wanted. */
  readonly fingerprint?: string;
  /** Files kept in memory, at most, in bytes (default 2 GB); those not used for longest are read again when needed. */
  readonly memoryBytes?: number;
}

const DEFAULT_MEMORY_BYTES = 2e9;

/** Bytes of a dataset that are in memory once a training has drawn from all of it. */
export function heldDatasetBytes({ shapes, clips }: DatasetIndex): number {
  const perClip = FIELDS.reduce(
    (sum, field) => sum + (STORED[field] === "uint8" ? 1 : 4) * sizeOf(shapes[field]),
    0,
  );
  return Math.min(DEFAULT_MEMORY_BYTES, clips.length * perClip);
}

/** Clips of a folder with a `dataset.json`, of rendered people or from videos. */
export class ClipDataset {
  /** By name, the one used longest ago first. */
  private readonly loaded = new Map<string, Promise<Fields>>();
  /** Bytes of those that have been read, and of all of them. */
  private readonly bytesOf = new Map<string, number>();
  private loadedBytes = 0;
  private readonly present = new Set<string>();

  private constructor(
    readonly folder: string,
    readonly index: DatasetIndex,
    private readonly memoryBytes: number,
  ) {}

  /** @throws UserError when the folder holds no dataset, or one made by other encoders */
  static async open(
    folder: string,
    { fingerprint, memoryBytes = DEFAULT_MEMORY_BYTES }: OpenDatasetOptions = {},
  ): Promise<ClipDataset> {
    const index = await readDatasetIndex(folder);
    if (fingerprint !== undefined && index.fingerprint !== fingerprint) throw otherSettings(folder);
    return new ClipDataset(folder, index, memoryBytes);
  }

  get numClips(): number {
    return this.index.clips.length;
  }

  get shapes(): ClipShapes {
    return this.index.shapes;
  }

  /**
   * Waits until the files of the first `numClips` clips exist, for datasets that grow while training runs. Files appear
   * whole or not at all.
   */
  async waitFor(numClips: number, signal?: AbortSignal): Promise<void> {
    for (const { file } of this.index.clips.slice(0, numClips)) {
      if (this.present.has(file)) continue;
      while (!(await exists(join(this.folder, file)))) await sleep(2000, undefined, { signal });
      this.present.add(file);
    }
  }

  /** Clip number `index`. @throws UserError when its file is missing or of another dataset */
  async clip(index: number): Promise<TrainingClip> {
    const entry = this.entry(index);
    const fields = await this.fieldsOf(entry.file);
    const parts = FIELDS.map((field) => [field, this.partOf(entry, field, fields[field])] as const);
    return Object.fromEntries(parts) as unknown as TrainingClip;
  }

  /** One field of the first `numClips` clips, read anew a file at a time: for a walk over the whole dataset. */
  async *each<F extends "tokens" | "image">(field: F, numClips: number): AsyncGenerator<TrainingClip[F]> {
    let file = "";
    let data: FieldData = new Uint8Array();
    for (let index = 0; index < numClips; index++) {
      const entry = this.entry(index);
      if (entry.file !== file) data = await this.readField(await this.openFile(entry.file), field);
      file = entry.file;
      yield this.partOf(entry, field, data) as TrainingClip[F];
    }
  }

  /** `StoredClip.poses` of a clip; null in datasets that were made without. */
  async poses(index: number): Promise<Float32Array | null> {
    const { file, at } = this.entry(index);
    const opened = await this.openFile(file);
    if (!opened.tensors.has(POSES)) return null;
    const { shape, data } = await opened.readFloat32(POSES);
    const size = sizeOf(shape.slice(1));
    return data.subarray(at * size, (at + 1) * size);
  }

  private entry(index: number): DatasetClip {
    const entry = this.index.clips[index];
    invariant(entry, `clip ${index} of a dataset of ${this.numClips}`);
    return entry;
  }

  private fieldsOf(file: string): Promise<Fields> {
    const loading = this.loaded.get(file) ?? this.load(file);
    this.loaded.delete(file);
    this.loaded.set(file, loading);
    return loading;
  }

  private async load(file: string): Promise<Fields> {
    const opened = await this.openFile(file);
    const fields = {} as Record<keyof TrainingClip, FieldData>;
    for (const field of FIELDS) fields[field] = await this.readField(opened, field);
    this.makeRoom(file, fields);
    return fields;
  }

  /** Of all clips of a file. */
  private async readField(opened: Checkpoint, field: keyof TrainingClip): Promise<FieldData> {
    const shape = opened.tensors.get(field)?.shape;
    if (shape?.slice(1).join() !== this.shapes[field].join()) {
      throw new UserError(
        `${opened.path}: "${field}" has the shape [${shape?.join(", ")}], expected [n, ${this.shapes[field].join(", ")}]`,
      );
    }
    const tensor =
      STORED[field] === "float16" ? await opened.readFloat32(field) : await opened.readTensor(field);
    return tensor.data as FieldData;
  }

  /** A clip's part of a field of its file. */
  private partOf({ file, at }: DatasetClip, field: keyof TrainingClip, data: FieldData): FieldData {
    const size = sizeOf(this.shapes[field]);
    if (at >= data.length / size) {
      throw new UserError(`${join(this.folder, file)} has no clip ${at}, which the dataset's index names`);
    }
    return data.subarray(at * size, (at + 1) * size);
  }

  private async openFile(file: string): Promise<Checkpoint> {
    const opened = await openCheckpoint(join(this.folder, file));
    if (opened.metadata.get("fingerprint") !== this.index.fingerprint) throw otherSettings(opened.path);
    return opened;
  }

  /** Counts a file that has been read, and lets go of others until all fit. */
  private makeRoom(file: string, fields: Fields): void {
    const bytes = Object.values(fields).reduce((sum, { byteLength }) => sum + byteLength, 0);
    this.bytesOf.set(file, bytes);
    this.loadedBytes += bytes;
    for (const name of this.loaded.keys()) {
      if (this.loadedBytes <= this.memoryBytes) return;
      if (name === file || !this.bytesOf.has(name)) continue;
      this.loadedBytes -= this.bytesOf.get(name)!;
      this.bytesOf.delete(name);
      this.loaded.delete(name);
    }
  }
}

function otherSettings(path: string): UserError {
  return new UserError(
    `${path} belongs to a dataset with other settings. Build the dataset again, or choose another folder.`,
  );
}
