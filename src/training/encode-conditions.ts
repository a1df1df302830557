/** Encodes the captions and references of a dataset before a training whose encoders do not learn. */
import { type ClipDataset } from "./dataset.ts";
import { type ConditionEncodings } from "./encoded-step.ts";
import { type EncoderSource, type Encodings } from "./encodings.ts";
import { ALONE, type TrainingGroup, checkAgreement } from "./group.ts";

export interface EncodedClips {
  readonly dataset: ClipDataset;
  /** The first so many clips are encoded; they are waited for. */
  readonly numClips: number;
  /** Tokens of the empty prompt, [M], which stands for text that is dropped. */
  readonly emptyPrompt: Int32Array;
}

export interface EncodeOptions {
  readonly group?: TrainingGroup;
  readonly signal?: AbortSignal;
  /** Called with 0 before the first, and after each; not at all where nothing is to be encoded. */
  readonly onEncoded?: (numDone: number, numAll: number) => void;
}

/**
 * Encodes what has no encoding yet, one encoder after the other; returns early when the signal aborts. In a group
 * process 0 goes first: those that see the same folder find everything there.
 * @throws UserError when weights or clips do not fit, differ between processes, or encodings cannot be written
 */
export async function encodeConditions(
  encodings: ConditionEncodings,
  clips: EncodedClips,
  { group = ALONE, ...options }: EncodeOptions = {},
): Promise<void> {
  const { text, image } = encodings;
  await checkAgreement(group, {
    "weights of the text encoder": text.encoder.identity,
    "weights of the image encoder": image.encoder.identity,
  });
  const process0IsDone = (): Promise<void> => group.sum(new Float32Array(1));
  if (group.rank > 0) await process0IsDone();
  await encodeMissing(encodings, clips, options);
  if (group.rank === 0) await process0IsDone();
}

async function encodeMissing(
  { text, image }: ConditionEncodings,
  { dataset, numClips, emptyPrompt }: EncodedClips,
  { signal, onEncoded }: Omit<EncodeOptions, "group">,
): Promise<void> {
  try {
    await dataset.waitFor(numClips, signal);
  } catch (error) {
    if (signal?.aborted) return;
    throw error;
  }
  async function* captions(): AsyncGenerator<Int32Array> {
    yield emptyPrompt;
    yield* dataset.each("tokens", numClips);
  }
  const references = () => dataset.each("image", numClips);
  const missing = {
    text: await missingOf(text, captions(), signal),
    image: await missingOf(image, references(), signal),
  };
  const numAll = missing.text.size + missing.image.size;
  if (numAll === 0 || signal?.aborted) return;
  await text.checkWritable();
  let numDone = 0;
  onEncoded?.(numDone, numAll);
  const onDone = () => onEncoded?.(++numDone, numAll);
  await encodeThese(text, missing.text, captions(), onDone, signal);
  await encodeThese(image, missing.image, references(), onDone, signal);
}

/** Keys of the sources that have no encoding. Sources may come more than once. */
async function missingOf<S extends EncoderSource>(
  encodings: Encodings<S>,
  sources: AsyncIterable<S>,
  signal: AbortSignal | undefined,
): Promise<Set<string>> {
  const seen = new Set<string>();
  const missing = new Set<string>();
  for await (const source of sources) {
    if (signal?.aborted) break;
    const key = encodings.keyOf(source);
    if (seen.has(key)) continue;
    seen.add(key);
    if ((await encodings.find(source)) === null) missing.add(key);
  }
  return missing;
}

async function encodeThese<S extends EncoderSource>(
  encodings: Encodings<S>,
  keys: Set<string>,
  sources: AsyncIterable<S>,
  onDone: () => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (keys.size === 0 || signal?.aborted) return;
  const encoder = await encodings.encoder.open();
  try {
    for await (const source of sources) {
      if (keys.size === 0 || signal?.aborted) break;
      if (!keys.delete(encodings.keyOf(source))) continue;
      await encodings.keep(source, await encoder.encode(source));
      onDone();
    }
  } finally {
    await encoder.release();
  }
}
