import { beforeAll, describe, expect, test } from "vitest";
import { serialize } from "../graph/index.ts";
import { UMT5_PRESETS, type Umt5Config } from "../models/umt5/config.ts";
import { Engine } from "../runtime/engine.ts";
import { type OpenGraph } from "../runtime/open-graph.ts";
import { UserError } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import { float32, sizeOf } from "../tensor/tensor.ts";
import { type EncodedPrompt, PromptEncoder } from "./text.ts";
import { parseTokenizerFile } from "./tokenizer-file.ts";
import { PromptTokenizer } from "./tokenizer.ts";

const PIECES = ["<pad>", "</s>", "<unk>", "▁", "▁a", "▁red", "▁blue", "▁dress", "▁hat"];

const tokenizer = new PromptTokenizer(
  parseTokenizerFile(
    JSON.stringify({
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: "Metaspace", replacement: "▁" },
      model: { type: "Unigram", unk_id: 2, vocab: PIECES.map((piece) => [piece, -1]) },
    }),
    "test",
  ),
  "test",
);

const config: Umt5Config = { ...UMT5_PRESETS.tiny, vocabSize: PIECES.length };

/** Opens graphs with the same random weights for each key. */
const opened: string[] = [];
const open: OpenGraph = (graph, name) => {
  opened.push(name);
  const inputs = [...graph.params.values()].map(({ name: key, shape }) => {
    const values = new Random(1).fork(key).normals(sizeOf(shape));
    return [key, float32(shape.length === 1 ? values.fill(1) : values, shape)] as const;
  });
  return Engine.create(serialize(graph), { name, inputs: Object.fromEntries(inputs) });
};

describe("encoding prompts", () => {
  let long: EncodedPrompt;
  let short: EncodedPrompt;

  beforeAll(async () => {
    const encoder = new PromptEncoder(tokenizer, config, open);
    long = await encoder.encode(" A red  dress a blue hat");
    await encoder.encode("a hat");
    await encoder.release();
    const tight = new PromptEncoder(tokenizer, config, open, 8);
    short = await tight.encode("A red dress a blue hat");
    await tight.release();
  });

  test("gives 512 rows, zero from the end token on", () => {
    expect(long.context.shape).toEqual([1, 512, config.dim]);
    const { dim } = config;
    const numTokens = long.tokens.length;
    for (let row = 0; row < 512; row++) {
      const values = long.context.data.subarray(row * dim, (row + 1) * dim);
      expect(values.some((x) => x !== 0)).toBe(row < numTokens);
    }
  });

  test("does not depend on how much padding is computed", () => {
    const numTokens = short.tokens.length;
    expect(short.tokens).toEqual(long.tokens);
    for (let i = 0; i < numTokens * config.dim; i++) {
      expect(short.context.data[i]).toBeCloseTo(long.context.data[i]!, 5);
    }
  });

  test("uses one graph for prompts of similar length", () => {
    expect(opened.length).toBe(2);
  });
});

test("a word's features depend on its neighbours", async () => {
  const encoder = new PromptEncoder(tokenizer, config, open, 16);
  const one = await encoder.encode("red dress");
  const two = await encoder.encode("blue dress");
  await encoder.release();
  const dress = ({ context }: EncodedPrompt): Float32Array => context.data.slice(config.dim, 2 * config.dim);
  expect(one.tokens[1]).toEqual(two.tokens[1]);
  expect(dress(one)).not.toEqual(dress(two));
});

test("a tokenizer of another vocabulary is refused", () => {
  expect(() => new PromptEncoder(tokenizer, { ...config, vocabSize: 4 }, open)).toThrow(UserError);
});
