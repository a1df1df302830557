import { access } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openCheckpoint } from "../runtime/checkpoint.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { invariant, UserError } from "../tensor/errors.ts";
import { float32ToFloat16 } from "../tensor/float16.ts";
import { type DType, type Tensor, sizeOf } from "../tensor/tensor.ts";

// Shapes: C latent channels, f latent frames, h and w latent size, M text tokens, S image side

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

/** Shapes of every field, the same for all clips of a dataset. */
export type ClipShapes = Readonly<Record<keyof TrainingClip, readonly number[]>>;

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

function shardPath(folder: string, shard: number): string {
  return join(folder, `shard-${String(shard).padStart(5, "0")}.safetensors`);
}

/** Writes the clips of one shard, fields stacked along a new first axis. Latents are stored as float16. */
export async function writeShard(
  folder: string,
  shard: number,
  clips: readonly TrainingClip[],
  shapes: ClipShapes,
  fingerprint: string,
): Promise<void> {
  const tensors: Record<string, Tensor> = {};
  for (const field of FIELDS) {
    const size = sizeOf(shapes[field]);
    const dtype = STORED[field];
    const stack =
      dtype === "float16"
        ? new Uint16Array(size * clips.length)
        : dtype === "int32"
          ? new Int32Array(size * clips.length)
          : new Uint8Array(size * clips.length);
    clips.forEach((clip, i) => {
      const data = clip[field];
      invariant(data.length === size, `${field} of a clip has ${data.length} elements, expected ${size}`);
      stack.set(data instanceof Float32Array ? float32ToFloat16(data) : data, i * size);
    });
    tensors[field] = { dtype, shape: [clips.length, ...shapes[field]], data: stack };
  }
  await writeSafetensors(shardPath(folder, shard), tensors, { fingerprint });
}

/** True once a shard has been written. Shards appear whole or not at all. */
export async function hasShard(folder: string, shard: number): Promise<boolean> {
  return access(shardPath(folder, shard)).then(
    () => true,
    () => false,
  );
}

interface LoadedShard {
  readonly fields: Readonly<Record<keyof TrainingClip, Float32Array | Uint8Array | Int32Array>>;
}

/** Clips of a folder of shards, read when first asked for and kept in memory. */
export class ClipDataset {
  private readonly shards = new Map<number, Promise<LoadedShard>>();

  constructor(
    private readonly folder: string,
    private readonly clipsPerShard: number,
    private readonly shapes: ClipShapes,
    private readonly fingerprint: string,
  ) {}

  /** Waits until the shards of the first `numClips` clips exist, for datasets that grow while training runs. */
  async waitFor(numClips: number, signal?: AbortSignal): Promise<void> {
    const last = Math.ceil(numClips / this.clipsPerShard) - 1;
    while (!(await hasShard(this.folder, last))) await sleep(2000, undefined, { signal });
  }

  /** Clip number `index`. @throws UserError when its shard is of another dataset */
  async clip(index: number): Promise<TrainingClip> {
    const shard = Math.floor(index / this.clipsPerShard);
    let loading = this.shards.get(shard);
    if (!loading) {
      loading = this.load(shard);
      this.shards.set(shard, loading);
    }
    const { fields } = await loading;
    const at = index % this.clipsPerShard;
    const part = (field: keyof TrainingClip): unknown => {
      const size = sizeOf(this.shapes[field]);
      return fields[field].subarray(at * size, (at + 1) * size);
    };
    return Object.fromEntries(FIELDS.map((field) => [field, part(field)])) as unknown as TrainingClip;
  }

  private async load(shard: number): Promise<LoadedShard> {
    const file = await openCheckpoint(shardPath(this.folder, shard));
    if (file.metadata.get("fingerprint") !== this.fingerprint) {
      throw new UserError(
        `${file.path} belongs to a dataset with other settings. Build the dataset again, or choose another folder.`,
      );
    }
    const fields = {} as Record<keyof TrainingClip, Float32Array | Uint8Array | Int32Array>;
    for (const field of FIELDS) {
      const tensor =
        STORED[field] === "float16" ? await file.readFloat32(field) : await file.readTensor(field);
      fields[field] = tensor.data as Float32Array | Uint8Array | Int32Array;
    }
    return { fields };
  }
}
