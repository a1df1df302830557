/** What the schemas of all kinds of training are made of. */
import { z } from "zod";

/** What is said about a key. */
interface KeyNotes {
  readonly description: string;
  /** Where the key or its default comes from. */
  readonly source: string;
  /** True for keys that a resumed run may change, because the trained weights do not depend on them. */
  readonly free?: true;
}

/** A key with what is said about it. */
export function key<T extends z.ZodType>(schema: T, description: string, source: string): T {
  return schema.meta({ description, source } satisfies KeyNotes);
}

/** A key that a resumed run may change. */
export function freeKey<T extends z.ZodType>(schema: T, description: string, source: string): T {
  return schema.meta({ description, source, free: true } satisfies KeyNotes);
}

/** As source: a choice of this project. */
export const OURS = "ours";
export const count = z.number().int().positive();
export const wholeNumber = z.number().int().nonnegative();
export const share = z.number().min(0).max(1);
export const above0 = z.number().positive();
export const path = z.string().min(1);
export const pixels = count.multipleOf(16);

/** The key that chooses the schema. */
export const kindKey = <K extends string>(kind: K) => key(z.literal(kind), "what is trained", OURS);

/** Keys that every kind has. */
export const common = {
  out: freeKey(path, "folder of the run: checkpoints, logs, plots, sample sheets", OURS),
  seed: key(wholeNumber.default(1), "seed of first weights, clips, noise and drop-outs", OURS),
  accumulate: key(
    count.default(1),
    "passes per step, each of the stage's batch; gradients are their mean, as of one batch of all of them",
    OURS,
  ),
  threads: freeKey(count.nullable().default(null), "threads of the training step; null: all cores", OURS),
  ema: key(share.default(0.995), "decay of the averaged weights, which are those shipped", OURS),
  maxGradientNorm: key(above0.default(1), "gradients of a larger norm are scaled down to it", OURS),
};

/** When a run saves itself. */
export const checkpoint = (everySteps: number) =>
  freeKey(
    z
      .strictObject({
        everySteps: freeKey(count.default(everySteps), "steps from one checkpoint to the next", OURS),
        keep: freeKey(count.default(2), "checkpoints kept, the newest", OURS),
      })
      .prefault({}),
    "what a killed run goes on from",
    OURS,
  );

/** The keys of a learning rate. @param peak with a default or without */
export const learningRate = <P extends z.ZodType>(peak: P, warmup: number, floor: number, source: string) =>
  z.strictObject({
    peak: key(peak, "largest learning rate, reached at the end of the warm-up", OURS),
    warmup: key(share.default(warmup), "share of all steps in which the rate grows linearly", source),
    floor: key(share.default(floor), "share of the peak at the last step; half a cosine leads there", source),
  });
