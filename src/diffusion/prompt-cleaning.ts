const NAMED_ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: " ",
};

/**
 * A prompt as the text encoder was trained to see it: HTML entities decoded (twice, as published, for text that was
 * escaped twice), typographic quotes straight, control characters gone, runs of white space a single blank.
 * Of HTML's named entities only the six common ones are known, and text in a wrong encoding is not repaired.
 */
export function cleanPrompt(prompt: string): string {
  return decodeEntities(decodeEntities(prompt))
    .replaceAll(/\p{Surrogate}/gu, "\uFFFD")
    .normalize("NFC")
    .replaceAll(/[\u02BC\u2018-\u201B]/g, "'")
    .replaceAll(/[\u201C-\u201F]/g, '"')
    .replaceAll(/[\s\u0085]+/g, " ")
    .replaceAll(/\p{Control}/gu, "")
    .trim();
}

function decodeEntities(text: string): string {
  return text.replaceAll(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,4}));/gi, (entity, decimal, hex, name) => {
    if (typeof name === "string") return NAMED_ENTITIES[name] ?? entity;
    const codePoint = typeof decimal === "string" ? Number(decimal) : Number.parseInt(String(hex), 16);
    return codePoint <= 0x10ffff ? String.fromCodePoint(codePoint) : "\uFFFD";
  });
}
