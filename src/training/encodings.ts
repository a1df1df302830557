// Shapes: L rows of an encoding, D their width
import { createHash } from "node:crypto";
import { access, constants, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { explainWriteFailure } from "../files/atomic-file.ts";
import { exists } from "../files/exists.ts";
import { openSafetensors } from "../runtime/safetensors.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { UserError } from "../tensor/errors.ts";
import { float32 } from "../tensor/tensor.ts";

/** What encoders read: token ids of a caption, [M], or pixels of a reference, [3, S, S]. */
export type EncoderSource = Int32Array | Float32Array;

/** An encoder that does not learn. */
export interface FrozenEncoder<S extends EncoderSource> {
  /** Hash of its weights and architecture, in hexadecimal. */
  readonly identity: string;
  /** The most rows of an encoding, and D. */
  readonly maxRows: number;
  readonly dim: number;
  /** L of a source. */
  numRows(source: S): number;
  /** Brings its weights into memory. @throws UserError when they are missing or do not fit */
  open(): Promise<OpenEncoder<S>>;
}

export interface OpenEncoder<S extends EncoderSource> {
  /** @returns [L, D] */
  encode(source: S): Promise<Float32Array>;
  release(): Promise<void>;
}

/** Below a dataset's folder. */
const FOLDER = "encoded";
/** The tensor of a file, and the hash of its bytes in the file's header. */
const ROWS = "rows";
const HASH = "sha256";

/**
 * What an encoder has made of the captions or references of a dataset: a file for each, `encoded/12/12ab….safetensors`
 * in the dataset's folder, named by the hash of encoder and source. Files appear whole or not at all, and several
 * processes may write the same one.
 */
export class Encodings<S extends EncoderSource> {
  private readonly folder: string;

  constructor(
    dataset: string,
    readonly encoder: FrozenEncoder<S>,
  ) {
    this.folder = join(dataset, FOLDER);
  }

  /** The name of a source's encoding. */
  keyOf(source: S): string {
    const bytes = new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
    return createHash("sha256").update(this.encoder.identity).update(bytes).digest("hex");
  }

  /** The encoding of a source, [L, D]; null where there is none, or one that is damaged. */
  async find(source: S): Promise<Float32Array | null> {
    const numRows = this.encoder.numRows(source);
    if (numRows === 0) return new Float32Array();
    const path = this.pathOf(this.keyOf(source));
    if (!(await exists(path))) return null;
    try {
      const file = await openSafetensors(path);
      const entry = file.tensors.get(ROWS);
      if (entry?.dtype !== "float32" || entry.shape.join() !== `${numRows},${this.encoder.dim}`) return null;
      const { data } = await file.readFloat32(ROWS);
      return hashOf(data) === file.metadata.get(HASH) ? data : null;
    } catch (error) {
      if (error instanceof UserError) return null;
      throw error;
    }
  }

  /** As `find`. @throws UserError where there is none */
  async take(source: S): Promise<Float32Array> {
    const found = await this.find(source);
    if (found) return found;
    throw new UserError(
      `${this.pathOf(this.keyOf(source))} was removed or damaged while the training ran; start it again, which makes ` +
        "it anew",
    );
  }

  /** Keeps an encoding, [L, D]. @throws UserError when it cannot be written */
  async keep(source: S, rows: Float32Array): Promise<void> {
    const path = this.pathOf(this.keyOf(source));
    await mkdir(dirname(path), { recursive: true }).catch((error: unknown) => {
      throw explainWriteFailure(error, path);
    });
    const tensor = float32(rows, [this.encoder.numRows(source), this.encoder.dim]);
    await writeSafetensors(path, { [ROWS]: tensor }, { [HASH]: hashOf(rows) });
  }

  /** Finds out before long work whether encodings can be kept. @throws UserError when they cannot */
  async checkWritable(): Promise<void> {
    try {
      await mkdir(this.folder, { recursive: true });
      await access(this.folder, constants.W_OK);
    } catch (cause) {
      throw new UserError(
        `cannot write ${this.folder}: ${(cause as Error).message}. A finetuning keeps there what the encoders make of ` +
          "captions and references; let it write there, or name a copy of the dataset where it may",
        { cause },
      );
    }
  }

  private pathOf(key: string): string {
    return join(this.folder, key.slice(0, 2), `${key}.safetensors`);
  }
}

function hashOf({ buffer, byteOffset, byteLength }: Float32Array): string {
  return createHash("sha256")
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest("hex");
}
