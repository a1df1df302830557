import { expect, test } from "vitest";
import { cleanPrompt } from "./prompt-cleaning.ts";

test.each([
  ["  a\tred \n\u3000dress\u0085 ", "a red dress"],
  ["Tom &amp;amp; Ann &lt;3 &#x41;&#66;", "Tom & Ann <3 AB"],
  ["&unknown; &#1114112;", "&unknown; \uFFFD"],
  ["\u201Ca girl\u2019s hat\u201D", '"a girl\'s hat"'],
  ["a\u0000b\u007Fc", "abc"],
  ["cafe\u0301", "caf\u00E9"],
  ["\uD800 lone", "\uFFFD lone"],
  ["", ""],
])("%j becomes %j", (prompt, clean) => {
  expect(cleanPrompt(prompt)).toBe(clean);
});
