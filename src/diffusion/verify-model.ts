/** Whether a model on disk is whole and fits together, without running it. */
import { type Checkpoint, type TensorEntry } from "../runtime/safetensors.ts";
import { quote } from "../runtime/quote.ts";
import { weightFaults } from "../runtime/weights.ts";
import { UserError } from "../tensor/errors.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { checkFits } from "./finetuned-weights.ts";
import { openLora } from "./lora-file.ts";
import { type ModelFolder } from "./model-folder.ts";
import { NETWORK_NAMES, type Network, TRAINED_WHOLE } from "./layouts/weight-naming.ts";
import { networkSpecs } from "./network-specs.ts";
import { PromptTokenizer } from "./tokenizer.ts";

/** One part of a model and what is wrong with it. */
export interface PartCheck {
  /** For people, e.g. "text encoder". */
  readonly part: string;
  /** What was checked, e.g. "194 tensors". */
  readonly checked: string;
  /** A line each; empty for a good part. */
  readonly faults: readonly string[];
}

/** Tensors of at most so many bytes are compared between the phases: norms, biases and modulations. */
const MAX_COMPARED_BYTES = 1 << 18;

/**
 * Checks every tensor's name, shape and type, what the phases change, that both phases rest on the same frozen
 * weights where their files hold these, and the tokenizer against the text encoder's vocabulary.
 */
export async function* verifyModel(model: ModelFolder): AsyncGenerator<PartCheck> {
  const specs = networkSpecs(model.description);
  const phases = { phase1: await model.openPhase("phase1"), phase2: await model.openPhase("phase2") };
  // The embeddings of hand and reference come with the phases where the base is the original one.
  const inPhases = (key: string): boolean => phases.phase1.whole.has(key) && phases.phase2.whole.has(key);
  for (const network of Object.keys(specs) as Network[]) {
    const needed = specs[network].filter(({ name }) => network !== "dit" || !inPhases(name));
    yield await check(NETWORK_NAMES[network].words, `${needed.length} tensors`, async () =>
      weightFaults(needed, await model.open(network)),
    );
  }
  const byKey = new Map(specs.dit.map((spec) => [spec.name, spec]));
  for (const [i, phase] of (["phase1", "phase2"] as const).entries()) {
    const file = phases[phase];
    const checked = `${file.pairs.size} low-rank pairs, ${file.whole.size} whole tensors`;
    yield await check(`finetuning of phase ${i + 1}`, checked, async () => {
      checkFits(file, byKey);
      return [];
    });
  }
  const [first, second] = model.frozen;
  if (first && second) {
    yield await check("frozen weights", "the small ones, in both phases", () => compareFrozen(first, second));
  }
  for (const { path } of model.loras) {
    yield await check("LoRA", path, async () => {
      checkFits(await openLora(path), byKey);
      return [];
    });
  }
  yield await check("tokenizer", model.tokenizerPath, async () => {
    const { vocabSize } = await PromptTokenizer.load(model.tokenizerPath);
    const { vocabSize: rows } = model.description.textEncoder;
    return vocabSize <= rows ? [] : [`it has ${vocabSize} tokens; the text encoder has ${rows}`];
  });
}

async function check(part: string, checked: string, find: () => Promise<string[]>): Promise<PartCheck> {
  try {
    return { part, checked, faults: await find() };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { part, checked, faults: [error.message] };
  }
}

/** One base serves both phases: it must be the same in the files of both. */
async function compareFrozen(first: Checkpoint, second: Checkpoint): Promise<string[]> {
  const faults: string[] = [];
  for (const [key, { byteLength }] of first.tensors) {
    if (byteLength > MAX_COMPARED_BYTES || TRAINED_WHOLE.test(key)) continue;
    const other = second.tensors.get(key);
    if (other === undefined) faults.push(`${quote(key)} is missing in ${second.path}`);
    else if (!(await isSame(key, first, second))) faults.push(`${quote(key)} differs in ${second.path}`);
  }
  return faults;
}

async function isSame(key: string, ...checkpoints: readonly [Checkpoint, Checkpoint]): Promise<boolean> {
  const [a, b] = checkpoints.map(({ tensors }) => tensors.get(key)!) as [TensorEntry, TensorEntry];
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  const [left, right] = await Promise.all(checkpoints.map((checkpoint) => checkpoint.readTensor(key)));
  return Buffer.compare(bytesOf(left!), bytesOf(right!)) === 0;
}

function bytesOf({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
