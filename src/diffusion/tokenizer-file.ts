import { z } from "zod";
import { describeFault, parseStrictJson } from "../runtime/strict-json.ts";
import { UserError } from "../tensor/errors.ts";

// A tokenizer.json is data from strangers: only parts that take time in proportion to the text are accepted, so
// there are no regular expressions but the one that sentencepiece conversions use.

/** Normalisers or splitters in one list. */
const MAX_STEPS = 64;

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
    z.object({ type: z.literal("Sequence"), normalizers: z.array(normalizer).max(MAX_STEPS) }),
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
    z.object({ type: z.literal("Sequence"), pretokenizers: z.array(preTokenizer).max(MAX_STEPS) }),
  ]),
);

/** T5 vocabularies add a few hundred. */
const MAX_ADDED_TOKENS = 10_000;

const fileSchema = z
  .object({
    added_tokens: z
      .array(
        z.object({
          id: z.number().int().nonnegative(),
          content: z.string().min(1),
          single_word: z.boolean().default(false),
          lstrip: z.boolean().default(false),
          rstrip: z.boolean().default(false),
          normalized: z.boolean().default(false),
          special: z.boolean().default(false),
        }),
      )
      .max(MAX_ADDED_TOKENS),
    normalizer: normalizer.nullable(),
    pre_tokenizer: preTokenizer.nullable(),
    model: z.object({
      type: z.literal("Unigram"),
      unk_id: z.number().int().nonnegative(),
      /** Pieces and their log probabilities; a piece's id is its position. */
      vocab: z.custom<[string, number][]>(isVocabulary, { error: "expected pairs of a text and a number" }),
      byte_fallback: z.boolean().default(false),
    }),
  })
  .refine(({ model }) => model.unk_id < model.vocab.length, {
    error: "unk_id is no piece of the vocabulary",
  });

/** A SentencePiece unigram tokenizer in the form of Hugging Face's tokenizer.json, as far as encoding needs it. */
export type TokenizerFile = z.infer<typeof fileSchema>;

/** Stops at the first fault: a list of a million faults would take more memory than the file. */
function isVocabulary(value: unknown): boolean {
  const isPiece = (piece: unknown): boolean =>
    Array.isArray(piece) &&
    piece.length === 2 &&
    typeof piece[0] === "string" &&
    typeof piece[1] === "number";
  return Array.isArray(value) && value.length > 0 && value.every(isPiece);
}

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
    throw new UserError(
      `${source} is no tokenizer.json of a SentencePiece unigram model: ${describeFault(cause)}`,
      { cause },
    );
  }
}
