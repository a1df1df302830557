import { UserError } from "../tensor/errors.ts";
import { type PromptToken } from "./tokenizer.ts";

/** Words for a person, most telling first. The published code knows the first four. */
export const SUBJECT_WORDS = [
  "woman",
  "girl",
  "man",
  "boy",
  "lady",
  "guy",
  "person",
  "dancer",
  "performer",
  "athlete",
  "child",
  "kid",
  "teenager",
  "human",
  "character",
  "figure",
  "avatar",
  "gentleman",
  "teen",
  "toddler",
  "baby",
  "ballerina",
  "gymnast",
  "acrobat",
  "skater",
  "singer",
  "musician",
  "actor",
  "actress",
  "soldier",
  "robot",
  "she",
  "he",
  "someone",
  "somebody",
  "女人",
  "女孩",
  "男人",
  "男孩",
  "女子",
  "男子",
  "舞者",
  "人物",
] as const;

/** Whether a prompt contains a phrase, not only parts of its words. */
export function mentions(prompt: string, phrase: string): boolean {
  return wholeWords(phrase).test(prompt);
}

/** The first of `SUBJECT_WORDS` that a prompt contains as a whole word, or null. */
export function findSubject(prompt: string): string | null {
  return SUBJECT_WORDS.find((word) => mentions(prompt, word)) ?? null;
}

/**
 * Positions of the tokens that spell a subject phrase, at its first occurrence: rows of the text encoder's output,
 * hence keys of cross-attention, that KV-sharing asks for the subject (Eq. 3).
 * @param tokens of the whole prompt
 * @param subject tokens of the phrase alone, from the same tokenizer, so that both are normalised alike
 * @throws UserError when the phrase does not occur, or not before the prompt is cut off
 */
export function subjectTokenIndices(
  tokens: readonly PromptToken[],
  subject: readonly PromptToken[],
): number[] {
  const phrase = spell(subject).replace(/^▁/, "");
  const prompt = spell(tokens);
  const match = phrase === "" ? null : wholeWords(phrase).exec(prompt);
  if (!match) {
    throw new UserError(
      `the subject "${phrase.replaceAll("▁", " ")}" is not in the prompt "${prompt.replaceAll("▁", " ").trim()}"; ` +
        "name a word of the prompt that stands for the person",
    );
  }
  const [start, end] = [match.index, match.index + phrase.length];
  let position = 0;
  let isInside = false;
  const isSubject = tokens.map(({ text }, i) => {
    // Further bytes of a text belong to it. The last token is the end token.
    if (text === "") return isInside && i < tokens.length - 1;
    const next = position + text.length;
    // A token that only adds the blank before the phrase says nothing about the subject.
    const first = text.startsWith("▁") ? position + 1 : position;
    isInside = first < end && next > start && next > first;
    position = next;
    return isInside;
  });
  return tokens.flatMap((_, i) => (isSubject[i] ? [i] : []));
}

const spell = (tokens: readonly PromptToken[]): string => tokens.map(({ text }) => text).join("");

/** Letters and digits of scripts that put blanks between words. */
const SPACED = String.raw`[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{N}]`;

/** Finds a text that neither starts nor ends inside a word. */
function wholeWords(text: string): RegExp {
  const literal = text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`(?<!${SPACED})${literal}(?!${SPACED})`, "iu");
}
