import { describe, expect, test } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { findSubject, subjectTokenIndices } from "./subject.ts";
import { type PromptToken } from "./tokenizer.ts";

const tokens = (...texts: string[]): PromptToken[] => [...texts, ""].map((text, id) => ({ id, text }));

describe("subjectTokenIndices", () => {
  test("finds the tokens of a word, however the prompt splits it", () => {
    const woman = tokens("▁woman");
    expect(subjectTokenIndices(tokens("▁a", "▁woman", "▁dancing"), woman)).toEqual([1]);
    expect(subjectTokenIndices(tokens("▁a", "▁", "wo", "man", ","), woman)).toEqual([2, 3]);
  });

  test("takes whole words only: no man in a woman, no woman in women", () => {
    const prompt = tokens("▁human", "▁wo", "man", "▁and", "▁man", "s", "▁man", "'s");
    expect(subjectTokenIndices(prompt, tokens("▁man"))).toEqual([6]);
  });

  test("finds phrases, at their first occurrence, whatever their capitals", () => {
    const prompt = tokens("▁A", "▁Young", "▁woman", ".", "▁a", "▁young", "▁woman");
    expect(subjectTokenIndices(prompt, tokens("▁young", "▁wo", "man"))).toEqual([1, 2]);
  });

  test("finds words of scripts without blanks", () => {
    expect(subjectTokenIndices(tokens("▁", "一个", "女人", "跳舞"), tokens("▁", "女人"))).toEqual([2]);
  });

  test("takes all bytes of a text that the vocabulary spells in bytes, and not the end token", () => {
    const robot = tokens("▁", "🤖", "", "", "");
    const prompt = tokens("▁a", "▁", "🤖", "", "", "", "▁x", "", "▁y");
    expect(subjectTokenIndices(prompt, robot)).toEqual([2, 3, 4, 5]);
    expect(subjectTokenIndices(robot, robot)).toEqual([1, 2, 3, 4]);
  });

  test("takes a phrase literally", () => {
    expect(subjectTokenIndices(tokens("▁a", "▁(", "x", "+", ")"), tokens("▁(", "x", "+)"))).toEqual([
      1, 2, 3, 4,
    ]);
  });

  test("says which subject is missing", () => {
    expect(() => subjectTokenIndices(tokens("▁a", "▁cat"), tokens("▁dog"))).toThrow(
      /"dog" is not in .*"a cat"/,
    );
    expect(() => subjectTokenIndices(tokens("▁a"), tokens())).toThrow(UserError);
  });
});

test("findSubject prefers the telling word and ignores parts of words", () => {
  expect(findSubject("A man and a Woman")).toBe("woman");
  expect(findSubject("many humans mandate")).toBeNull();
  expect(findSubject("one dancer, alone")).toBe("dancer");
});
