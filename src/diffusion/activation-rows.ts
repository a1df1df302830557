import { type FileHandle, open, rm } from "node:fs/promises";
import { explainWriteFailure } from "../files/atomic-file.ts";
import { type Tensor, float32 } from "../tensor/tensor.ts";
import { invariant } from "../tensor/errors.ts";

interface Place {
  readonly shape: readonly number[];
  readonly byteOffset: number;
}

/** Samples of activations by name, in a file that is gone when it is closed: a large denoiser's do not fit into memory. */
export class ActivationRows {
  private readonly places = new Map<string, Place[]>();
  private numBytes = 0;

  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
  ) {}

  /** @throws UserError when the file cannot be written */
  static async create(path: string): Promise<ActivationRows> {
    try {
      return new ActivationRows(path, await open(path, "w+"));
    } catch (error) {
      throw explainWriteFailure(error, path);
    }
  }

  /** @throws UserError when the disk is full */
  async add(name: string, { data, shape }: Tensor<"float32">): Promise<void> {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    try {
      await this.handle.write(bytes, 0, bytes.byteLength, this.numBytes);
    } catch (error) {
      throw explainWriteFailure(error, this.path);
    }
    const places = this.places.get(name) ?? [];
    this.places.set(name, [...places, { shape, byteOffset: this.numBytes }]);
    this.numBytes += bytes.byteLength;
  }

  /** All samples of a name, in the order in which they were added. */
  async read(name: string): Promise<Tensor<"float32">[]> {
    const samples: Tensor<"float32">[] = [];
    for (const { shape, byteOffset } of this.places.get(name) ?? []) {
      const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
      const { bytesRead } = await this.handle.read(
        new Uint8Array(data.buffer),
        0,
        data.byteLength,
        byteOffset,
      );
      invariant(bytesRead === data.byteLength, "a sample is read as long as it was written");
      samples.push(float32(data, shape));
    }
    return samples;
  }

  async close(): Promise<void> {
    await this.handle.close();
    await rm(this.path, { force: true });
  }
}
