import { CAPTION_WORDS } from "./caption-words.ts";

const SPECIAL = ["<pad>", "</s>", "<unk>"] as const;
const ENDINGS = ["s", "es", "ed", "ing", "ly", "er", "y"];

// Log probabilities. The most probable split wins, so one piece for a word beats a shorter word with an ending, and
// that beats letters.
const WORD = -7;
const ENDING = -8;
const CHARACTER = -12;

/** "▁", which opens every word, and all printable ASCII characters but capitals, which are normalised away. */
function characters(): string[] {
  const ascii = Array.from({ length: 0x7f - 0x21 }, (_, i) => String.fromCharCode(0x21 + i));
  return ["▁", ...ascii.filter((character) => !/[A-Z]/.test(character))];
}

/**
 * The tokenizer of the embedded model, as the text of a tokenizer.json: SentencePiece unigrams made of the words of
 * captions, regular endings and single characters, so that any English prompt has tokens. Capitals and accents are
 * dropped; characters outside ASCII become the unknown token.
 */
export function captionTokenizerJson(): string {
  const scores = new Map<string, number>();
  for (const piece of SPECIAL) scores.set(piece, 0);
  for (const piece of characters()) scores.set(piece, CHARACTER);
  for (const piece of ENDINGS) scores.set(piece, ENDING);
  for (const word of CAPTION_WORDS) scores.set(`▁${word}`, WORD);
  const metaspace = { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true };
  const [, end, unknown] = SPECIAL;
  const file = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: "Sequence",
      normalizers: [{ type: "NFKD" }, { type: "StripAccents" }, { type: "Lowercase" }],
    },
    pre_tokenizer: { type: "Sequence", pretokenizers: [{ type: "WhitespaceSplit" }, metaspace] },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: end, type_id: 0 } }],
      pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 0 } }],
      special_tokens: { [end]: { id: end, ids: [SPECIAL.indexOf(end)], tokens: [end] } },
    },
    decoder: metaspace,
    model: {
      type: "Unigram",
      unk_id: SPECIAL.indexOf(unknown),
      vocab: [...scores],
      byte_fallback: false,
    },
  };
  return JSON.stringify(file);
}
