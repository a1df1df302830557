import { z } from "zod";
import { UserError } from "../tensor/errors.ts";

/** A weight behind the last colon, so that paths may hold colons themselves. */
const WITH_WEIGHT = /^(.+):([+-]?(?:\d+(?:\.\d*)?|\.\d+))$/s;

/** Weights beyond this only make noise. */
const MAX_WEIGHT = 100;

const EXPECTED = `expected FILE or FILE:WEIGHT, such as style.safetensors:0.5, with a weight of at most ${MAX_WEIGHT}`;

/** A LoRA to put over a model: `{ path, weight }`, or the text "FILE" or "FILE:WEIGHT" with the weight 1 by default. */
export const loraChoice = z.union(
  [
    z
      .string()
      .min(1)
      .transform((text) => {
        const [, path, weight] = WITH_WEIGHT.exec(text) ?? [];
        return path === undefined ? { path: text, weight: 1 } : { path, weight: Number(weight) };
      })
      .refine(({ weight }) => Math.abs(weight) <= MAX_WEIGHT, EXPECTED),
    z.strictObject({
      path: z.string().min(1),
      weight: z.number().min(-MAX_WEIGHT).max(MAX_WEIGHT).default(1),
    }),
  ],
  { error: EXPECTED },
);

/** A LoRA file or PEFT folder, and how strongly it counts: 1 = as trained, 0 = not at all, below 0 = the opposite. */
export type LoraChoice = z.output<typeof loraChoice>;

/** Reads "FILE" or "FILE:WEIGHT". @throws UserError for a weight that is too large */
export function parseLoraChoice(text: string): LoraChoice {
  const result = loraChoice.safeParse(text);
  if (result.success) return result.data;
  throw new UserError(`LoRA "${text}": ${result.error.issues[0]!.message}`);
}
