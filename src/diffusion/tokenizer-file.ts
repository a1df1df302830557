import { z } from "zod";
import { parseStrictJson } from "../runtime/strict-json.ts";
import { UserError } from "../tensor/errors.ts";

// A tokenizer.json is data from strangers: only parts that take time in proportion to the text are accepted, so
// there are no regular expressions but the one that sentencepiece conversions use.

type NormalizerFile =
  | { type: "Precompiled" | "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "StripAccents" }
  | { type: "Strip"; strip_left: boolean; strip_right: boolean }
  | { type: "Replace"; pattern: { String: string } | { Regex: " {2,}" }; content: string }
  | { type: "Sequence"; normalizers: NormalizerFile[] };

const normalizer: z.ZodType<NormalizerFile> = z.lazy(() =>
  z.discriminatedUnion("type", [
    z.object({
      type: z.enum(["Precompiled", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"]),
    }),
    z.object({ type: z.literal("Strip"), strip_left: z.boolean(), strip_right: z.boolean() }),
    z.object({
      type: z.literal("Replace"),
      pattern: z.union([z.object({ String: z.string().min(1) }), z.object({ Regex: z.literal(" {2,}") })]),
      content: z.string(),
    }),
    z.object({ type: z.literal("Sequence"), normalizers: z.array(normalizer) }),
  ]),
);

type PreTokenizerFile =
  | { type: "Metaspace"; replacement: "▁"; prepend_scheme: "always" | "first" | "never" }
  | { type: "WhitespaceSplit" }
  | { type: "Sequence"; pretokenizers: PreTokenizerFile[] };

const preTokenizer: z.ZodType<PreTokenizerFile> = z.lazy(() =>
  z.discriminatedUnion("type", [
    z.object({
      type: z.literal("Metaspace"),
      replacement: z.literal("▁"),
      // Files written before there was a scheme always prepend.
      prepend_scheme: z.enum(["always", "first", "never"]).default("always"),
    }),
    z.object({ type: z.literal("WhitespaceSplit") }),
    z.object({ type: z.literal("Sequence"), pretokenizers: z.array(preTokenizer) }),
  ]),
);

const fileSchema = z
  .object({
    added_tokens: z.array(
      z.object({
        id: z.number().int().nonnegative(),
        content: z.string().min(1),
        single_word: z.boolean().default(false),
        lstrip: z.boolean().default(false),
        rstrip: z.boolean().default(false),
        normalized: z.boolean().default(false),
        special: z.boolean().default(false),
      }),
    ),
    normalizer: normalizer.nullable(),
    pre_tokenizer: preTokenizer.nullable(),
    model: z.object({
      type: z.literal("Unigram"),
      unk_id: z.number().int().nonnegative(),
      /** Pieces and their log probabilities; a piece's id is its position. */
      vocab: z.array(z.tuple([z.string(), z.number()])).min(1),
      byte_fallback: z.boolean().default(false),
    }),
  })
  .refine(({ model }) => model.unk_id < model.vocab.length, {
    error: "unk_id is no piece of the vocabulary",
  });

/** A SentencePiece unigram tokenizer in the form of Hugging Face's tokenizer.json, as far as encoding needs it. */
export type TokenizerFile = z.infer<typeof fileSchema>;

const MAX_DEPTH = 16;

/**
 * Reads the text of a tokenizer.json.
 * @param source where it comes from, for messages
 * @throws UserError when it is no JSON, or no unigram tokenizer
 */
export function parseTokenizerFile(text: string, source: string): TokenizerFile {
  try {
    return fileSchema.parse(parseStrictJson(text, MAX_DEPTH));
  } catch (cause) {
    const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
    throw new UserError(`${source} is no tokenizer.json of a SentencePiece unigram model: ${reason}`, {
      cause,
    });
  }
}
