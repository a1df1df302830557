// Shapes: B batch, M text tokens, S image side, N image tokens, D width
import { invariant } from "../tensor/errors.ts";
import { type Tensor, zeros } from "../tensor/tensor.ts";
import { type EncoderSource, type Encodings } from "./encodings.ts";
import { type Batch, type Params, type StepResult, type TrainStep } from "./train.ts";

/** Of captions and of references. */
export interface ConditionEncodings {
  readonly text: Encodings<Int32Array>;
  readonly image: Encodings<Float32Array>;
}

/** A step whose graph takes encodings, for batches of what they are made of. */
export class EncodedStep implements TrainStep {
  readonly trainable: readonly string[];

  constructor(
    private readonly step: TrainStep,
    private readonly encodings: ConditionEncodings,
  ) {
    this.trainable = step.trainable;
  }

  /** @param batch with `tokens` [B, M] and `image` [B, 3, S, S]; the graph gets `context` and `clipFeature` for them */
  async run(params: Params, { tokens, image, ...rest }: Batch): Promise<StepResult> {
    invariant(tokens?.dtype === "int32" && image?.dtype === "float32", "a batch without tokens or pixels");
    const context = await encoded(this.encodings.text, tokens as Tensor<"int32">);
    const clipFeature = await encoded(this.encodings.image, image as Tensor<"float32">);
    return this.step.run(params, { ...rest, context, clipFeature });
  }

  release(): Promise<void> {
    return this.step.release();
  }
}

/** The encodings of all sources along the first axis, [B, M or N, D], zero past the rows that a source has. */
async function encoded<S extends EncoderSource>(
  encodings: Encodings<S>,
  { shape, data }: { readonly shape: readonly number[]; readonly data: S },
): Promise<Tensor<"float32">> {
  const { maxRows, dim } = encodings.encoder;
  const batch = shape[0]!;
  const size = data.length / batch;
  const all = zeros([batch, maxRows, dim]);
  for (let i = 0; i < batch; i++) {
    const source = data.subarray(i * size, (i + 1) * size) as S;
    all.data.set(await encodings.take(source), i * maxRows * dim);
  }
  return all;
}
