import { describe, expect, test } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { PromptTokenizer, paddedIds } from "./tokenizer.ts";
import { parseTokenizerFile } from "./tokenizer-file.ts";

type Piece = [string, number];

const SPECIAL: Piece[] = [
  ["<pad>", 0],
  ["</s>", 0],
  ["<unk>", 0],
];
const WORDS: Piece[] = [
  ["▁", -3],
  ["▁a", -2],
  ["▁wo", -4],
  ["▁woman", -6],
  ["man", -3],
  ["s", -5],
  ["!", -5],
];

/** A file in the form that conversions of SentencePiece models have. */
function fileWith(model: object = {}, rest: object = {}): string {
  return JSON.stringify({
    version: "1.0",
    added_tokens: SPECIAL.map(([content], id) => ({ id, content, special: true, normalized: false })),
    normalizer: { type: "Precompiled", precompiled_charsmap: "" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [{ type: "WhitespaceSplit" }, { type: "Metaspace", replacement: "▁" }],
    },
    model: { type: "Unigram", unk_id: 2, vocab: [...SPECIAL, ...WORDS], ...model },
    ...rest,
  });
}

const tokenizerOf = (text: string): PromptTokenizer =>
  new PromptTokenizer(parseTokenizerFile(text, "file"), "file");

describe("a unigram tokenizer", () => {
  const tokenizer = tokenizerOf(fileWith());
  const ids = (prompt: string): number[] => tokenizer.tokenize(prompt).tokens.map(({ id }) => id);

  test("takes the most probable split and appends the end token", () => {
    // "▁woman" at -6 beats "▁wo" + "man" at -7.
    expect(ids("a woman")).toEqual([4, 6, 1]);
    expect(ids(" a \n woman! ")).toEqual([4, 6, 9, 1]);
    expect(ids("")).toEqual([1]);
  });

  test("normalises by compatibility: full-width letters are letters", () => {
    expect(ids("ａ　ｗｏｍａｎ！")).toEqual([4, 6, 9, 1]);
  });

  test("spells what it does not know as one unknown token, and keeps its text", () => {
    const { tokens } = tokenizer.tokenize("a 舞蹈s");
    expect(tokens).toEqual([
      { id: 4, text: "▁a" },
      { id: 3, text: "▁" },
      { id: 2, text: "舞蹈" },
      { id: 8, text: "s" },
      { id: 1, text: "" },
    ]);
  });

  test("cuts a long prompt before the end token, and counts what it drops", () => {
    const cut = tokenizer.tokenize("a a a a a", 4);
    expect(cut.tokens.map(({ id }) => id)).toEqual([4, 4, 4, 1]);
    expect(cut.numDropped).toBe(2);
    expect(paddedIds(cut, 6)).toEqual([4, 4, 4, 1, 0, 0]);
    expect(tokenizer.tokenize("a a a", 4).numDropped).toBe(0);
  });

  test("refuses absurd prompts", () => {
    expect(() => tokenizer.tokenize("a ".repeat(20_000))).toThrow(UserError);
  });
});

test("a vocabulary with bytes spells unknown text in them", () => {
  const bytes = Array.from({ length: 256 }, (_, byte): Piece => [
    `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
    -20,
  ]);
  const tokenizer = tokenizerOf(fileWith({ vocab: [...SPECIAL, ...WORDS, ...bytes], byte_fallback: true }));
  const first = SPECIAL.length + WORDS.length;
  const spelled = [...Buffer.from("舞")].map((byte) => first + byte);
  expect(tokenizer.tokenize("a舞").tokens.map(({ id }) => id)).toEqual([4, ...spelled, 1]);
  expect(tokenizer.vocabSize).toBe(first + 256);
});

const SPLITTER = { type: "WhitespaceSplit" };

test.each([
  ["no JSON", "{"],
  ["a list", "[]"],
  ["nothing", ""],
  ["text behind its end", `${fileWith()} {}`],
  ["a key twice", fileWith().replace('"version"', '"model":1,"model"')],
  ["deep nesting", fileWith({}, { normalizer: { type: "Sequence", normalizers: nested(20) } })],
  ["brackets without end", "[".repeat(1e5)],
  ["values without end", `[${"0,".repeat(1 << 22)}0]`],
  ["a list of splitters without end", fileWith({}, { pre_tokenizer: sequenceOf(100) })],
  [
    "added tokens without end",
    fileWith({}, { added_tokens: Array.from({ length: 10_001 }, () => ({ id: 1, content: "a" })) }),
  ],
  ["a negative id", fileWith({}, { added_tokens: [{ id: -1, content: "a" }] })],
  ["an id that is no number", fileWith({}, { added_tokens: [{ id: "1", content: "a" }] })],
  ["an empty added token", fileWith({}, { added_tokens: [{ id: 1, content: "" }] })],
  ["no model", fileWith({}, { model: null })],
  ["a vocabulary that is no list", fileWith({ vocab: { a: 0 } })],
  ["pieces of three parts", fileWith({ vocab: [["a", 0, 0]] })],
  ["pieces that are no texts", fileWith({ vocab: [[1, 0]] })],
  ["a million faults", fileWith({ vocab: new Array(1_000_000).fill(0) })],
  ["an unknown normaliser", fileWith({}, { normalizer: { type: "Shell", command: "ls" } })],
  ["a replacement of nothing", fileWith({}, { normalizer: replacing({ String: "" }) })],
  ["an unknown splitter", fileWith({}, { pre_tokenizer: { type: "Split", pattern: { Regex: "(a|a)*b" } } })],
  ["another sign for blanks", fileWith({}, { pre_tokenizer: { type: "Metaspace", replacement: "_" } })],
  ["line breaks where a message repeats them", '{"model":\n\n?'],
  ["another model", fileWith({ type: "BPE" })],
  ["an unknown token that is not there", fileWith({ unk_id: 99 })],
  ["no vocabulary", fileWith({ vocab: [] })],
  ["a score that is no number", fileWith({ vocab: [["a", null]] })],
  [
    "a regular expression",
    fileWith({}, { normalizer: { type: "Replace", pattern: { Regex: "(a+)+" }, content: "" } }),
  ],
  [
    "no end token",
    fileWith(
      {
        vocab: [
          ["<pad>", 0],
          ["a", 0],
          ["<unk>", 0],
        ],
      },
      { added_tokens: [] },
    ),
  ],
  [
    "padding that is not 0",
    fileWith(
      {
        vocab: [
          ["</s>", 0],
          ["<pad>", 0],
          ["<unk>", 0],
        ],
      },
      { added_tokens: [] },
    ),
  ],
  ["missing bytes", fileWith({ byte_fallback: true })],
])("a file with %s is refused in one line", (_, text) => {
  const before = process.memoryUsage.rss();
  expect(() => tokenizerOf(text)).toThrow(UserError);
  expect(() => tokenizerOf(text)).toThrow(/^.{1,400}$/);
  expect(process.memoryUsage.rss() - before).toBeLessThan(256 * 2 ** 20);
});

/** A normaliser in a normaliser, and so on. */
function nested(depth: number): object[] {
  return depth === 0 ? [] : [{ type: "Sequence", normalizers: nested(depth - 1) }];
}

function sequenceOf(count: number): object {
  return { type: "Sequence", pretokenizers: Array.from({ length: count }, () => SPLITTER) };
}

function replacing(pattern: object): object {
  return { type: "Replace", pattern, content: "" };
}

test("a missing file is refused", async () => {
  await expect(PromptTokenizer.load("/nowhere/tokenizer.json")).rejects.toThrow(UserError);
});
