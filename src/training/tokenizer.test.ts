import { expect, test } from "vitest";
import { describeClip } from "../avatar/caption.ts";
import { makeIdentity } from "../avatar/identity.ts";
import { makeScene } from "../avatar/scene.ts";
import { parseTokenizerFile } from "../diffusion/tokenizer-file.ts";
import { PromptTokenizer } from "../diffusion/tokenizer.ts";
import { UMT5_PRESETS } from "../models/umt5/config.ts";
import { captionTokenizerJson } from "./tokenizer.ts";

const file = parseTokenizerFile(captionTokenizerJson(), "tokenizer.json");
const tokenizer = new PromptTokenizer(file, "tokenizer.json");
const split = (prompt: string): string[] => tokenizer.tokenize(prompt).tokens.map(({ text }) => text);

test("it fits the embedded text encoder", () => {
  expect(tokenizer.vocabSize).toBeLessThanOrEqual(UMT5_PRESETS.mini.vocabSize);
  expect(new Set(file.model.vocab.map(([piece]) => piece)).size).toBe(file.model.vocab.length);
});

test("every word of an avatar's caption is one token", () => {
  for (let seed = 0; seed < 300; seed++) {
    for (const world of ["easy", "varied"] as const) {
      const caption = describeClip(makeIdentity(seed, world), makeScene(seed, world));
      const words = caption.toLowerCase().match(/[a-z-]+|[^a-z\s]/g)!;
      expect(split(caption).map((text) => text.replace("▁", ""))).toEqual([...words, ""]);
    }
  }
});

test("known words with endings keep the word, unknown words fall back to letters", () => {
  expect(split("Dancers")).toEqual(["▁dancer", "s", ""]);
  expect(split("Zebra café")).toEqual(["▁", "z", "e", "b", "r", "a", "▁cafe", ""]);
});

test("any English prompt has known tokens only; other scripts become the unknown token", () => {
  const unknown = file.model.unk_id;
  const ids = (prompt: string): number[] => tokenizer.tokenize(prompt).tokens.map(({ id }) => id);
  const ascii = String.fromCharCode(...Array.from({ length: 95 }, (_, i) => 32 + i));
  expect(ids(ascii)).not.toContain(unknown);
  expect(ids("舞")).toContain(unknown);
});
